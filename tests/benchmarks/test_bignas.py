"""The benchmarks of BigNAS: what is taken from a front, and that their commands run."""

import argparse

import pytest
from mmdet.registry import DATASETS

from benchmarks.bignas import front
from benchmarks.bignas.common import SEARCH, SIDE
from benchmarks.bignas.front import ALONE, CHILD, front_recipe, seeds_of, show, spread
from benchmarks.classification_data import DATA, data_options
from benchmarks.common import open_config, read_rows
from tests.benchmarks.helpers import run

TINY = {'search.data.train_size': 128, 'search.data.val_size': 40, 'search.estimator.epochs': 1,
        'search.estimator.recalibration_images': 20, 'search.searcher.mutations': 2, 'search.budget.trials': 20,
        'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16}
DIGITS = ['--cfg-options', 'search.data.test_size=40', *(f'{name}={value}' for name, value in TINY.items())]


def test_children_are_spread_over_a_front_with_both_ends():
    assert spread(list(range(8)), 8) == list(range(8))
    assert spread(list(range(15)), 8) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert spread(list('abc'), 2) == ['a', 'c']


def test_another_selection_is_another_recipe(tmp_path):
    recipes = [front_recipe(open_config(SEARCH, tmp_path / str(index), options)) for index, options in enumerate([
        {}, {'search.seed': 3, 'search.engine.slots': 1}, {'search.searcher.mutations': 5}, {'search.budget.trials': 9},
        {'search.estimator.epochs': 2}])]
    assert recipes[0] == recipes[1] and len(set(recipes)) == 4


def test_a_front_of_a_real_set(shared_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(front, 'DRAWS', 5)
    args = argparse.Namespace(
        seeds=[1], children=1, slots=1, data='cifar10_subset', root=shared_data / 'cifar10_subset',
        cfg_options={**TINY, 'search.data.train_size': 32, 'search.budget.trials': 2, 'search.space.resolution': (16,)},
        results=tmp_path / 'front.csv', work_dir=tmp_path)
    seed, = seeds_of(args)
    seed.config.search.engine = dict(type='InlineEngine')
    assert seed.measure()
    rows = read_rows(args.results)
    assert [row['way'] for row in rows] == [CHILD, ALONE] and len({row['key'] for row in rows}) == 1
    own, alone = (int(row['epochs']) for row in rows)
    assert own == 0 and alone > seed.config.search.estimator.epochs     # four networks have shared these
    for row in rows:
        assert row['data'] == 'cifar10_subset' and row['seed'] == '1'
        correct = float(row['accuracy']) * 1000
        assert 0 < correct < 1000 and correct == pytest.approx(round(correct))      # of the set's own test images
    show(args.results)
    assert f'cifar10_subset, recipe {rows[0]["recipe"]}' in capsys.readouterr().out


def test_a_real_set_has_images_of_the_same_size(shared_data, tmp_path):
    root = shared_data / 'cifar10_subset'
    digits, real = (open_config(SEARCH, tmp_path / data, data_options(argparse.Namespace(data=data, root=root), SIDE))
                    for data in DATA)
    images = [DATASETS.build(config.train_dataloader.dataset)[0]['inputs'] for config in (digits, real)]
    assert images[0].shape == images[1].shape == (3, SIDE, SIDE)
    assert real.search.space == digits.search.space and real.search.costs == digits.search.costs
    assert real.model.data_preprocessor['mean'] == [125.3, 123.0, 113.9]
    assert front_recipe(digits) != front_recipe(real)


@pytest.mark.slow
def test_front_for_real(repo_root, tmp_path):
    places = ['--results', tmp_path / 'front.csv']
    command = ['bignas.front', *places, '--seeds', 1, '--children', 2, '--work-dir', tmp_path, *DIGITS]
    for _ in range(2):      # what is there is not measured again
        done = run(repo_root, *command)
        assert done.returncode == 0, done.stdout
    too_many = run(repo_root, *(999 if part == 2 else part for part in command))
    assert too_many.returncode == 1 and 'children, and 999 are to be measured' in too_many.stdout
    rows = read_rows(tmp_path / 'front.csv')
    assert [row['way'] for row in rows] == [CHILD, ALONE] * 2 and len({row['key'] for row in rows[:2]}) == 1
    assert all(0 <= float(row['accuracy']) <= 1 for row in rows)
    assert len({row['epochs'] for row in rows if row['way'] == ALONE}) == 1
    assert 'the difference to the networks trained alone' in run(repo_root, 'bignas.front', '--show', *places).stdout


@pytest.mark.slow
def test_step_for_real(repo_root):
    done = run(repo_root, 'bignas.step', '--steps', 1, '--rounds', 1, *DIGITS)
    assert 'ratio ' in done.stdout, done.stdout     # the target is for an idle machine
