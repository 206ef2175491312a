import csv
from itertools import product

import numpy as np
import pytest

from benchmarks.nasbench201.run import CONFIGS, FIGURE, REWARD, search
from benchmarks.nasbench201.space import EDGES, OPS, NasBench201Space
from nasdet.config import load_config
from nasdet.estimators.tabular import TabularEstimator
from nasdet.genotype import Genotype
from nasdet.history import History
from nasdet.registry import SEARCHERS, build
from nasdet.search import Search
from nasdet.testing import check_estimator, check_space


@pytest.fixture(scope='module')
def table(shared_data):
    return shared_data / 'nasbench201' / 'nasbench201.csv'


def test_space_conforms():
    check_space(NasBench201Space(), np.random.default_rng(0))


def test_a_cell_has_the_string_of_the_benchmark():
    ops = ['nor_conv_3x3', 'none', 'skip_connect', 'avg_pool_3x3', 'nor_conv_1x1', 'none']
    row = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|'
    assert NasBench201Space().row(Genotype('NasBench201Space', dict(ops=ops))) == row


def test_wrong_cells_are_refused():
    space = NasBench201Space()
    for ops in (['none'] * 5, ['none'] * 5 + ['conv9']):
        with pytest.raises(ValueError, match='6 ops out of'):
            space.check(Genotype('NasBench201Space', dict(ops=ops)))


def test_every_cell_is_in_the_table_once(table):
    space = NasBench201Space()
    with open(table, newline='') as file:
        rows = [row['arch'] for row in csv.DictReader(file)]
    cells = {space.row(space.decode(tokens)) for tokens in product(range(len(OPS)), repeat=len(EDGES))}
    assert cells == set(rows) and len(cells) == len(rows) == space.size()


def test_searchers_find_better_cells_than_an_average_draw(table):
    space = NasBench201Space()
    estimator = TabularEstimator(space, table, key='arch', metrics=[REWARD, FIGURE])
    check_estimator(estimator, space.sample(np.random.default_rng(0)))
    for cfg in CONFIGS.values():
        figures = [search(build(SEARCHERS, cfg, space=space), estimator, seed, checkpoints=(60,)) for seed in range(3)]
        assert np.mean(figures) > 92.5      # the median cell of the table has 90.7


@pytest.mark.parametrize('searcher', list(CONFIGS))
def test_each_searcher_runs_through_the_whole_loop(table, tmp_path, repo_root, searcher):
    config = load_config(str(repo_root / 'benchmarks' / 'nasbench201' / 'config.py'))
    config.search.searcher = CONFIGS[searcher]
    config.search.estimator.table = str(table)
    config.search.budget.trials = 40
    search = Search.from_cfg(config, str(tmp_path))
    best = search.run()
    search.close()
    history = History(tmp_path / 'history.sqlite', read_only=True)
    rewards = {trial.proposal.genotype: trial.result.reward for trial in history.trials()}
    assert len(rewards) >= 40 and rewards[best] == max(rewards.values())
    assert Genotype.from_json((tmp_path / 'best' / 'genotype.json').read_text()) == best
