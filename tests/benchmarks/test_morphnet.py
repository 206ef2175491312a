"""The benchmarks of MorphNet: equal cost and equal training of both sides, and that nothing is measured twice."""

import argparse

import pytest

from benchmarks.common import append_row, read_rows
from benchmarks.morphnet import search_quality
from benchmarks.morphnet.search_quality import SEARCHES, TEST, Seed
from tests.benchmarks.helpers import run

FEW = {'search.data.train': 12, 'search.data.val': 4, 'search.data.test': 4}
OWN_EPOCHS, SEARCH_IMAGES = 5, 36


@pytest.fixture
def args(tmp_path) -> argparse.Namespace:
    return argparse.Namespace(data='digits', cfg_options=FEW, results=tmp_path / 'tables', work_dir=tmp_path / 'work')


@pytest.fixture
def trained(monkeypatch) -> list:
    """Train nothing; return what would have been."""
    calls = []

    def train_and_test(confirmation, candidate, seed):
        start = candidate.model.get('init_cfg') or {}
        calls.append((candidate.name, confirmation.epochs, seed, start.get('checkpoint')))
        return '0.25' if candidate.name == 'morphnet' else '0.2', '3'

    monkeypatch.setattr(search_quality, 'train_and_test', train_and_test)
    return calls


def test_both_sides_have_equal_cost_and_equal_training_and_are_measured_once(args, trained, monkeypatch, capsys):
    monkeypatch.delattr(search_quality, 'TrainedSearch')        # the row that is there is believed
    for number in (0, 1):
        seed = Seed(args, number)
        space = seed.space
        widths = {name: max(2, width * (number + index % 3 + 2) // 6)
                  for index, (name, width) in enumerate(space.seed().value['widths'].items())}
        found = space.expanded(space.rounded(widths), 0.5 * space.cost(space.seed()))
        append_row(args.results / SEARCHES, dict(seed.start, seed=number, epochs=3, images=SEARCH_IMAGES, seconds='1',
                                                 genotype=found.to_json()))
        for _ in range(2):
            seed.test(seed.search())
    longer = OWN_EPOCHS + round(SEARCH_IMAGES / 16)
    weights = [str(Seed(args, number).folder / 'search' / 'best' / 'weights.pth') for number in (0, 1)]
    assert trained == [
        (who, epochs, number, start) for number in (0, 1)
        for who, epochs, start in (('morphnet', OWN_EPOCHS, None), ('morphnet_tuned', OWN_EPOCHS, weights[number]),
                                   ('uniform', longer, None))]
    rows = read_rows(args.results / TEST)
    for morphnet, tuned, uniform in (rows[:3], rows[3:]):
        assert tuned['key'] == morphnet['key'] and tuned['images'] == morphnet['images']
        assert int(morphnet['macs']) == pytest.approx(int(uniform['macs']), rel=0.01)
        assert morphnet['key'] != uniform['key']
        total = int(morphnet['images']) + SEARCH_IMAGES
        assert abs(total - int(uniform['images'])) <= 16 / 2
    search_quality.show(args.results)
    shown = capsys.readouterr().out
    assert '+0.0500 against uniform, paired over 2 seeds' in shown and '116 images in all' in shown


def test_the_recipe_says_what_figures_depend_on(args):
    def recipe(seed=0, **options):
        args.cfg_options = {**FEW, **options}
        return Seed(args, seed).start['recipe']

    assert recipe() == recipe(seed=4) == recipe(**{'search.control.estimator.epochs': 9})
    assert len({recipe(), recipe(**{'search.trainer.goal': 0.3}), recipe(**{'search.data.test': 5}),
                recipe(**{'train_cfg.max_epochs': 2})}) == 4


@pytest.mark.slow
def test_step_and_search_quality_for_real(repo_root, tmp_path):
    few = [f'{name}={value}' for name, value in FEW.items()] + ['train_dataloader.batch_size=4']
    said = run(repo_root, 'morphnet.step', '--steps', 2, '--cfg-options', *few)
    assert 'step with the penalty' in said.stdout and said.returncode in (0, 1), said.stdout
    options = [*few, 'search.trainer.epochs=1', 'train_cfg.max_epochs=1']
    said = run(repo_root, 'morphnet.search_quality', '--seeds', 0, '--results', tmp_path, '--work-dir',
               tmp_path / 'work', '--cfg-options', *options)
    assert said.returncode == 0, said.stdout
    assert [row['epochs'] for row in read_rows(tmp_path / TEST)] == ['1', '1', '2']
