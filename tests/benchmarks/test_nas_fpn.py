"""The benchmarks of NAS-FPN: their statistics, equal cost, and that nothing is measured twice."""

import argparse
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from benchmarks import equal_cost, search_quality
from benchmarks.common import append_row, draw, groups, open_config, read_rows, recipe_of
from benchmarks.correlation import correlate, partial_tau, tau
from benchmarks.nas_fpn import cost, equal_macs
from benchmarks.nas_fpn.common import SUPERNET
from benchmarks.nas_fpn.search_quality import BASELINES, STUDY
from benchmarks.rank_correlation import ALONE, Table, columns, mean_of, show
from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.registry import SPACES, build
from tests.benchmarks.helpers import run

SEARCHERS = ('ppo', 'evolution', 'random')
FEW = {'search.data.train': 4, 'search.data.val': 2, 'search.data.test': 2, 'search.data.size': 64}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The supernet's config, prepared with a handful of pictures."""
    return open_config(SUPERNET, tmp_path_factory.mktemp('prepared'), FEW)


@pytest.fixture
def space(config):
    return build(SPACES, config.search.space)


# ---- statistics


def test_tau_counts_ties_of_either_side():
    assert tau([1, 1, 2, 2], [1, 2, 2, 3]) == pytest.approx(3 / math.sqrt((6 - 2) * (6 - 1)))


def test_partial_tau_of_four_items_by_hand():
    x, y, given = [1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]      # taus 2/3, 2/3 and 1/3
    assert partial_tau(x, y, given) == pytest.approx((2 / 3 - 2 / 9) / math.sqrt((1 - 4 / 9) * (1 - 1 / 9)))
    assert math.isnan(partial_tau(x, y, x))


def test_partial_tau_is_the_correlation_of_agreements_with_the_third_ranking():
    """Kendall's own definition: over the pairs of items, the phi coefficient of who agrees with z."""
    x, y, given = np.random.default_rng(0).standard_normal((3, 20)) + np.linspace(0, 2, 20)
    pairs = list(itertools.combinations(range(20), 2))
    agree = [[(column[i] < column[j]) == (given[i] < given[j]) for i, j in pairs] for column in (x, y)]
    assert partial_tau(x, y, given) == pytest.approx(np.corrcoef(np.array(agree, float))[0, 1])


def test_bootstrap_intervals():
    x = np.arange(30.0)
    same = correlate(tau, x, 2 * x + 1)
    assert (same.value, same.low, same.high) == pytest.approx((1.0, 1.0, 1.0)) and same.count == 30
    rng = np.random.default_rng(1)
    noisy = correlate(tau, x, x + rng.normal(0, 15, 30))
    assert -1 < noisy.low < noisy.value < noisy.high < 1 and noisy.low > 0
    unrelated = correlate(tau, x, rng.permutation(30))
    assert unrelated.low < 0 < unrelated.high
    assert correlate(tau, [1, 2, 3], [1, 3, 2]).low is None


def test_the_bootstrap_resamples_whole_items():
    x = np.random.default_rng(2).standard_normal(40)
    y = x + np.random.default_rng(3).standard_normal(40)
    chosen = np.random.default_rng(4).integers(40, size=(2000, 40))
    low, high = np.percentile([tau(x[item], y[item]) for item in chosen], (2.5, 97.5))
    ours = correlate(tau, x, y)
    assert (ours.low, ours.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_seeds_are_averaged_where_all_are_there():
    rows = [dict(seed=seed, key=key, mAP=value) for seed, key, value in
            [('0', 'a', '0.1'), ('1', 'a', '0.3'), ('0', 'b', '0.5')]]
    assert mean_of(columns(rows)) == {'a': pytest.approx(0.2)}


@pytest.mark.parametrize('ppo, words', [
    ([0.41, 0.42, 0.40], 'for 1 of 3 searches, not corrected for the number of tests: the best of ppo is better (+0'),
    ([0.21, 0.22, 0.20], 'the best of ppo is worse (-0.1000'),
    ([0.30, 0.33, 0.29], 'There is no evidence that what a search found is better or worse than fpn'),
])
def test_the_verdict_claims_no_more_than_the_test(ppo, words):
    figures = dict(fpn=[0.30, 0.32, 0.31], ppo=ppo, evolution=[0.30, 0.33, 0.29], random=[0.31, 0.30, 0.33])
    by_seed = {name: dict(enumerate(of)) for name, of in figures.items()}
    assert words in search_quality.verdict(by_seed, 'fpn', SEARCHERS)


def test_cost_targets_are_ratios():
    seconds = {'supernet training': np.array([500.0]), 'candidate': np.array([0.1, 0.2, 0.9]),
               'proxy training': np.array([10.0])}
    assert cost.report(seconds)
    assert not cost.report({**seconds, 'candidate': np.array([0.21])})
    assert not cost.report({**seconds, 'supernet training': np.array([501.0])})


# ---- equal cost


def test_all_necks_cost_what_the_published_cell_costs(config, space):
    genotypes = dict(no_fusion=zoo.load('no_fusion'), nas_fpn=zoo.load('nas_fpn'), drawn=draw(space, 0))
    finalists = {one.candidate.name: one for one in equal_macs.finalists(config, genotypes, zoo.load('nas_fpn'))}
    target = finalists['nas_fpn'].macs
    assert finalists['nas_fpn'].width == 32 < finalists['no_fusion'].width
    for name, one in finalists.items():
        assert abs(one.macs / target - 1) <= 0.02
        model = one.candidate.model
        assert model.neck.out_channels == model.bbox_head.in_channels == one.width
        assert model.bbox_head.feat_channels == config.model.bbox_head.feat_channels
        assert model.neck.genotype == genotypes[name].plain()
        for other in (one.width - 1, one.width + 1):
            there = equal_macs.at_width(config, name, genotypes[name], other)
            assert abs(there.macs - target) >= abs(one.macs - target)


def test_a_neck_that_cannot_be_as_cheap_is_refused(config):
    with pytest.raises(ValueError, match='fpn comes no nearer to 1000 multiply-adds than'):
        equal_cost.match(partial(equal_macs.at_width, config, 'fpn', zoo.load('fpn')), 1000, 4)


# ---- tables that grow


def test_the_drawn_genotypes_are_always_the_same(space):
    assert [space.key(draw(space, index)) for index in range(3)] == [
        '23d14c3ed0c22238', 'fb4e118406373a17', '603481ba40bd52ef']
    assert len({space.key(draw(space, index)) for index in range(30)}) == 30


def test_rows_of_several_writers_stay_whole(tmp_path):
    path = tmp_path / 'new' / 'table.csv'
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_row(path, dict(number=number, text='x,"' * 50)), range(200)))
    rows = read_rows(path)
    assert sorted(int(row['number']) for row in rows) == list(range(200))
    assert {row['text'] for row in rows} == {'x,"' * 50}
    with pytest.raises(ValueError, match='move that file away'):
        append_row(path, dict(number=1, other=2))


def test_rows_of_an_older_recipe_are_neither_mixed_nor_lost(config, tmp_path, capsys):
    path = tmp_path / 'rank.csv'
    old, new = (Table(path, config, ALONE, proxy, proxy) for proxy in ('old', 'new'))
    for genotype, seed in list(old.missing(4, [0, 1])):
        old.add(genotype, seed, {'coco/bbox_mAP': 0.1 * seed}, 1.0)
    genotype, seed = next(new.missing(4, [0, 1]))
    new.add(genotype, seed, {'coco/bbox_mAP': 0.5}, 1.0)
    assert list(old.missing(4, [0, 1])) == [] and len(list(old.missing(5, [0, 1]))) == 2
    left = list(new.missing(4, [0, 1]))
    assert len(left) == 7 and (genotype, seed) not in left and left[3][1] == 1      # a whole seed before the next
    assert len(list(Table(path, config, 'fair', 'r', 'old').missing(4, [0]))) == 4
    show(read_rows(path))
    assert 'proxy old: 8 stand-alone' in (shown := capsys.readouterr().out) and 'proxy new: 1 stand-alone' in shown


def test_the_recipe_says_what_scores_depend_on(config):
    before = recipe_of(config)
    changed = []
    for change in (dict(estimator=dict(epochs=99)), dict(space=dict(neck=dict(stack_times=2))), dict(seed=5),
                   dict(estimator=dict(seed=5)), dict(budget=dict(trials=7))):
        other = config.copy()
        other.merge_from_dict(dict(search=change))
        changed.append(recipe_of(other) != before)
    assert changed == [True, True, False, False, False]


@pytest.fixture
def measured(config, tmp_path, monkeypatch):
    """One seed of the search quality benchmark whose searches and trainings are planted, and what was asked for."""
    asked, trials = [], {}

    class Planted(search_quality.Seed):
        def _search(self, name, searcher):
            asked.append((name, searcher['type']))
            best = draw(build(SPACES, config.search.space), len(asked)).to_json()
            append_row(self.results / search_quality.REWARDS, dict(
                self.start, searcher=name, seed=self.seed, reward=0.5, trials=trials.get(name, 3), seconds=1,
                genotype=best))
            return best

    class Confirmation:
        def __init__(self, folder, config):
            assert (folder.path / 'data' / 'trainval.json').exists()

        def run(self, candidates, seeds):
            asked.append((candidates[0].name, seeds))
            return [dict(architecture=candidates[0].name, key=candidates[0].key, figure='0.25')]

    def nearly(config, genotypes, reference):       # the widths have a test of their own, and take seconds
        return [equal_cost.Finalist(equal_cost.Candidate(name, genotype.digest(), equal_macs.with_neck(
            config, genotype, 32)), 32, 1, 1) for name, genotype in genotypes.items()]

    monkeypatch.setattr(search_quality, 'Confirmation', Confirmation)
    monkeypatch.setattr(equal_macs, 'finalists', nearly)
    args = argparse.Namespace(data='digits', work_dir=tmp_path, results=tmp_path / 'tables', trials=3, slots=1,
                              cfg_options=FEW)

    def measure(seed, recipe='r'):
        asked.clear()
        planted = Planted(STUDY, args, recipe, seed)
        planted.confirm(planted.search())
        return list(asked)

    return argparse.Namespace(measure=measure, results=args.results, trials=trials)


def test_search_quality_measures_nothing_twice(measured, capsys):
    first = measured.measure(4)
    assert first[:3] == [('ppo', 'ReinforceSearcher'), ('evolution', 'EvolutionSearcher'), ('random', 'RandomSearcher')]
    assert first[3:] == [(name, [4]) for name in BASELINES + SEARCHERS]
    assert measured.measure(4) == []
    assert len(measured.measure(5)) == len(measured.measure(4, 'other')) == 10
    tests = read_rows(measured.results / search_quality.TEST)
    assert {key: len(rows) for key, rows in groups(tests, 'recipe', 'seed').items()} == {
        ('r', '4'): 7, ('r', '5'): 7, ('other', '4'): 7}
    rewards = read_rows(measured.results / search_quality.REWARDS)
    best = {row['searcher']: Genotype.from_json(row['genotype']).digest() for row in rewards[:3]}
    assert {row['neck']: row['key'] for row in tests[4:7]} == best
    search_quality.show(STUDY, measured.results)
    assert 'There is no evidence that what a search found' in capsys.readouterr().out


def test_searches_of_unequal_length_are_not_compared(measured):
    measured.trials['evolution'] = 2
    with pytest.raises(SystemExit, match=r'seed 4: .* candidates .ppo 3, evolution 2, random 3., so they do not'):
        measured.measure(4)


# ---- for real


TINY = ('search.data.train=16', 'search.data.val=8', 'search.data.test=8', 'search.data.size=64',
        'search.estimator.epochs=1')


@pytest.mark.slow
def test_cost_for_real(repo_root):
    done = run(repo_root, 'nas_fpn.cost', '--candidates', 2, '--trainings', 1, '--cfg-options', *TINY)
    assert 'proxy training / candidate: ' in done.stdout, done.stdout       # the targets are for the real recipe


@pytest.mark.slow
def test_rank_correlation_for_real(repo_root, tmp_path):
    places = ['--results', tmp_path / 'rank.csv', '--work-dir', tmp_path, '--genotypes', 3, '--cfg-options', *TINY]
    for arguments in ((), ('--supernet', 'plain')):
        done = run(repo_root, 'nas_fpn.rank_correlation', *arguments, *places)
        assert done.returncode == 0, done.stdout
    rows = read_rows(tmp_path / 'rank.csv')
    assert [row['name'] for row in rows] == [ALONE] * 6 + ['plain'] * 3
    assert len({row['proxy'] for row in rows}) == 1 and len({row['key'] for row in rows}) == 3
    done = run(repo_root, 'nas_fpn.rank_correlation', '--show', '--picture', *places)
    assert 'seed to seed, the ceiling' in done.stdout and (tmp_path / 'rank.png').exists()


@pytest.mark.slow
def test_search_quality_for_real(repo_root, tmp_path):
    done = run(repo_root, 'nas_fpn.search_quality', '--seeds', 3, '--trials', 2, '--results', tmp_path, '--work-dir',
               tmp_path / 'work', '--cfg-options', *TINY, 'train_cfg.max_epochs=1')
    assert done.returncode == 0, done.stdout
    assert [row['trials'] for row in read_rows(tmp_path / search_quality.REWARDS)] == ['2', '2', '2']
    tests = read_rows(tmp_path / search_quality.TEST)
    assert [row['neck'] for row in tests] == [*BASELINES, *SEARCHERS]
    assert all(0.0 <= float(row['mAP']) <= 1.0 for row in tests)
