"""The benchmarks of the cells: their recipes, equal cost, that nothing is measured twice, and what the tables say."""

import argparse
import re
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS

from benchmarks.cells import search_quality
from benchmarks.cells.common import METHODS
from benchmarks.cells.search_quality import REWARDS, TEST, Seed
from benchmarks.common import append_row, read_rows
from nasdet.confirm import Confirmation
from nasdet.confirm.run import train_and_test
from nasdet.genotype import Genotype
from tests.benchmarks.helpers import run

SMALL = {'search.data.train_size': 64, 'train_dataloader.batch_size': 16, 'model.backbone.width': 4,
         'search.space.num_blocks': 2}
TINY = dict(
    amoebanet={**SMALL, 'search.estimator.epochs': 1, 'search.engine': dict(_delete_=True, type='InlineEngine'),
               'search.budget.trials': 3, 'search.searcher.population': 2, 'search.searcher.sample': 1},
    darts_first_order={**SMALL, 'search.trainer.epochs': 1, 'search.control.estimator.epochs': 1})
IMAGES = dict(amoebanet=('192', '192'), darts_first_order=('128', '128'))       # of the search, of its control


def command(folder: Path, **changed) -> argparse.Namespace:
    """Return the arguments of a command."""
    return argparse.Namespace(**{**dict(
        data='digits', root=None, slots=1, epochs=1, cfg_options={}, results=folder / 'tables',
        work_dir=folder / 'work'), **changed})


@pytest.fixture
def in_this_process(monkeypatch):
    """Train what is tested without a process for each, and return the folders."""
    trained = []

    def train(self, name, seed, folder):
        trained.append(folder)
        train_and_test(folder, self.epochs, seed)

    monkeypatch.setattr(Confirmation, '_train', train)
    return trained


@pytest.mark.parametrize('method', TINY)
def test_search_control_and_published_cells_are_measured_once_at_equal_cost(method, tmp_path, in_this_process):
    args = command(tmp_path, cfg_options=TINY[method])
    for _ in range(2):
        seed = Seed(method, args, 5)
        seed.test(seed.search())
    rewards, tests = (read_rows(args.results / name) for name in (REWARDS, TEST))
    assert [row['who'] for row in rewards] == ['search', 'control']
    assert [row['who'] for row in tests] == ['search', 'control', 'published'] and len(in_this_process) == 3
    assert tuple(row['images'] for row in rewards) == IMAGES[method]
    assert len({row['recipe'] for row in rewards + tests}) == 1 and {row['seed'] for row in rewards + tests} == {'5'}
    keys = [seed.space.key(Genotype.from_json(row['genotype'])) for row in rewards]
    assert keys == [row['key'] for row in tests[:2]] and tests[2]['key'] not in keys
    for row in tests:
        correct = float(row['top1']) * 300
        assert 0 <= correct <= 300 and correct == pytest.approx(round(correct))
        assert int(row['params']) > 0 and int(row['macs']) > 0


def test_half_measured_seeds_go_on(tmp_path, in_this_process, monkeypatch):
    """A row that is there is believed: the search is not run, and what it found is tested."""
    args = command(tmp_path, cfg_options=TINY['amoebanet'])
    seed = Seed('amoebanet', args, 0)
    genotypes = [seed.space.sample(np.random.default_rng(number)) for number in range(2)]
    for who, genotype in zip(('search', 'control'), genotypes, strict=True):
        append_row(args.results / REWARDS, dict(seed.start, who=who, seed=0, genotype=genotype.to_json()))
    append_row(args.results / TEST, dict(seed.start, who='search', seed=0, key='k', top1=1, macs=1, params=1,
                                         seconds=1))
    monkeypatch.delattr(search_quality.command, 'main')
    seed.test(seed.search())
    assert [folder.parent.name for folder in in_this_process] == ['control', 'published']


def test_the_recipe_says_what_figures_depend_on(tmp_path):
    def recipe(method='amoebanet', seed=0, **changed):
        return Seed(method, command(tmp_path, **changed), seed).recipe

    same = [recipe(), recipe(seed=3), recipe(slots=2)]
    other = [recipe(epochs=2), recipe(cfg_options={'search.budget.trials': 9}), recipe(method='nasnet'),
             recipe(cfg_options={'search.estimator.epochs': 2}), recipe(cfg_options={'search.data.val_size': 100})]
    assert len(set(same)) == 1 and len({*same, *other}) == 1 + len(other)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder with files of the form of the subset of CIFAR-10."""
    rng = np.random.default_rng(0)
    for name, images in (('train', 2300), ('test', 50)):
        np.savez(tmp_path / f'{name}.npz', x=rng.integers(256, size=(images, 32, 32, 3), dtype=np.uint8),
                 y=np.arange(images) % 10, class_names=[f'class {number}' for number in range(10)])
    return tmp_path


@pytest.mark.parametrize('method', METHODS)
def test_every_method_takes_the_subset_of_cifar10(method, pictures):
    seed = Seed(method, command(pictures, data='cifar10_subset', root=pictures), 1)
    config = seed.config
    assert config.search.seed == 1 and config.train_dataloader.dataset.split == 'train'
    assert config.model.data_preprocessor['mean'] == [125.3, 123.0, 113.9]
    for split, images in (('train', 1200), ('val', 1000), ('test', 50)):
        dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
        assert len(dataset) == images and dataset[0]['inputs'].shape == (3, 16, 16)
    with pytest.raises(SystemExit, match='needs --root'):
        Seed(method, command(pictures, data='cifar10_subset'), 1)


@pytest.mark.parametrize('found, words', [
    ((0.93, 0.95, 0.94), 'darts, the best of the search by its reward, has a mean top-1 accuracy of 0.9400 on the test '
                         'split, +0.0300 against control, paired over 3 seeds'),
    ((0.93, 0.95, 0.94), 'evidence that it is better'),
    ((0.91, 0.88, 0.96), 'no evidence of a difference'),
    ((0.91,), 'no evidence either way, since one seed allows no test'),
    ((), 'Nothing is measured on test yet'),
])
def test_the_sentence_claims_no_more_than_the_test(found, words, tmp_path, capsys):
    start = dict(data='digits', recipe='r', method='darts')
    for who, figures in dict(search=found, control=(0.90, 0.921, 0.909)).items():
        for seed, figure in enumerate(figures):
            append_row(tmp_path / TEST, dict(start, who=who, seed=seed, top1=figure, macs=10, params=5))
            append_row(tmp_path / REWARDS, dict(start, who=who, seed=seed, reward=figure, evaluations=1, steps=15,
                                                images=36000, seconds=60))
    search_quality.show(tmp_path)
    shown = capsys.readouterr().out
    assert words in shown and 'control: 1 evaluations, 15 steps, 36,000 images, 60 seconds' in shown


@pytest.mark.slow
def test_speed_for_real(repo_root):
    said = run(repo_root, 'cells.speed', '--networks', 'pnasnet5large', '--size', 64, '--batch', 2, '--repeats', 1)
    difference = re.search(r'logits, up to (\S+), differ by (\S+)', said.stdout)
    assert float(difference[1]) > 0.1 and float(difference[2]) < 1e-4, said.stdout
    assert len(re.findall(r'ours / timm \d\.\d+ \(median of 1; ', said.stdout)) == 2
    assert said.returncode in (0, 1)        # at least as fast, or not
