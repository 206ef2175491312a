"""Multiply-adds by table: equal to counting, and their exact distribution over a space."""

import itertools
import time

import numpy as np
import pytest

from nasdet.costs import AdditiveMacs, Macs
from nasdet.costs import distribution as distribution_module
from nasdet.costs.distribution import SumDistribution, TooManySumsError
from nasdet.registry import COSTS, build
from nasdet.search.limits import check_limits
from nasdet.spaces import ChoiceBlockSpace, MergingCellSpace
from nasdet.testing import check_cost
from tests.spaces.helpers import every_genotype

IMAGE = (3, 224, 224)
MODEL = dict(backbone={}, neck=dict(in_channels=[1, 2, 3, 4]))      # all that the backbone's cost depends on


@pytest.fixture(scope='module')
def cost():
    """The paper's cost on the space of 20 blocks."""
    return AdditiveMacs(ChoiceBlockSpace(preset='300m'), MODEL)


def genotypes(space, number, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(number)]


def test_equals_counting_the_network(cost):
    counted = Macs(cost.space, MODEL, scope='backbone', input_shape=IMAGE)
    for genotype in genotypes(cost.space, 5):
        assert cost(genotype) == counted(genotype)
    check_cost(cost, genotypes(cost.space, 5))
    assert (cost.name, cost.unit) == ('AdditiveMacs(backbone)', 'MACs')


def test_equals_counting_for_every_genotype_of_a_small_space_and_any_choices():
    space = ChoiceBlockSpace([dict(channels=8, num_blocks=1), dict(channels=20, num_blocks=2)], stem_channels=6,
                             choices=('xception', 'shuffle7'))
    settings = dict(scope='backbone', input_shape=(3, 100, 70))
    model = dict(backbone={}, neck=dict(in_channels=[1, 2]))
    by_table, counted = AdditiveMacs(space, model, **settings), Macs(space, model, **settings)
    values = [by_table(genotype) for genotype in every_genotype(space)]
    assert values == [counted(genotype) for genotype in every_genotype(space)] and len(set(values)) > 4
    distribution = by_table.distribution
    assert (distribution.least, distribution.most) == (min(values), max(values))
    assert distribution.share(sorted(values)[4]) == np.mean(np.array(values) <= sorted(values)[4])


def test_the_table_of_the_specification(cost):
    """Multiply-adds of a block at 224 x 224: the first of each stage, and the others."""
    fixed, rows = cost._table
    assert fixed == 5_419_008 and cost.space.vocab['block'] == ('shuffle3', 'shuffle5', 'shuffle7', 'xception')
    assert [list(row.values()) for row in rows[:2]] == [[13_396_992, 15_805_440, 19_418_112, 13_146_112],
                                                        [7_325_696, 8_931_328, 11_339_776, 12_343_296]]
    assert [list(row.values()) for row in rows[-4:-2]] == [[30_387_840, 30_889_600, 31_642_240, 20_634_880],
                                                           [10_176_320, 10_427_200, 10_803_520, 15_476_160]]
    assert rows[-3] == rows[-2] == rows[-1]


def test_the_accept_rate_of_the_paper(cost):
    distribution = cost.distribution
    assert round(distribution.share(300e6), 4) == 0.6887
    assert round(distribution.share(330e6), 3) == 0.999
    assert (distribution.least, distribution.most) == (237_222_720, 365_472_576)
    assert round(distribution.mean / 1e6) == 294
    drawn = [cost(genotype) for genotype in genotypes(cost.space, 2000)]
    assert abs(np.mean(np.array(drawn) <= 300e6) - 0.6887) < 0.04     # four standard deviations


@pytest.mark.parametrize('preset, limit, share, least, most', [
    ('1.3g', 1.3e9, 0.9999, 966.8e6, 1485.6e6), ('3.8g', 3.8e9, 0.9585, 3.04e9, 4.61e9)])
def test_the_larger_spaces(preset, limit, share, least, most):
    distribution = AdditiveMacs(ChoiceBlockSpace(preset=preset), MODEL).distribution
    assert round(distribution.share(limit), 4) == share
    assert distribution.least == pytest.approx(least, rel=2e-3) and distribution.most == pytest.approx(most, rel=2e-3)


def test_a_limit_may_be_a_quantile_of_the_space():
    space = ChoiceBlockSpace([dict(channels=8, num_blocks=2), dict(channels=20, num_blocks=2)], stem_channels=6)
    settings, context = dict(type='AdditiveMacs', scope='backbone'), dict(
        space=space, model=dict(backbone={}, neck=dict(in_channels=[1, 2])))
    median = build(COSTS, dict(settings, limit=dict(quantile=0.5)), **context)
    assert median.distribution.share(median.limit) >= 0.5 > median.distribution.share(median.limit - 1)
    assert sorted(median(genotype) for genotype in every_genotype(space))[4 ** 4 // 2 - 1] == median.limit
    assert build(COSTS, dict(settings, limit=3e8), **context).limit == 3e8
    for wrong, words in [(dict(quantile=0), 'above 0 and at most 1, not 0'), (dict(quantile=50), 'not 50'),
                         (dict(median=1), r"a number or dict\(quantile=...\)"), ('300M', "is a number, not '300M'")]:
        with pytest.raises(ValueError, match=words):
            build(COSTS, dict(settings, limit=wrong), **context)
    with pytest.raises(ValueError, match='a quantile is for a cost that knows its distribution'):
        build(COSTS, dict(type='Macs', scope='backbone', limit=dict(quantile=0.5)), **context)


def test_sums_over_every_combination():
    rows = [(1, 5, 9), (1, 5, 9), (0, 2), (7,), (3, 3, 4)]
    sums = np.array([10 + sum(terms) for terms in itertools.product(*rows)])
    distribution = SumDistribution(10, rows)
    assert (distribution.least, distribution.most) == (sums.min(), sums.max())
    assert distribution.mean == pytest.approx(sums.mean())
    for limit in (*np.unique(sums), 0, 20.5, 100):
        assert distribution.share(limit) == pytest.approx(np.mean(sums <= limit), abs=1e-12)
    assert distribution.share_between(19, 29) == pytest.approx(np.mean((sums >= 19) & (sums < 29)), abs=1e-12)
    for share in (0.001, 0.3, 0.62, 0.9999):
        assert distribution.quantile(share) == np.quantile(sums, share, method='inverted_cdf')


def test_too_many_sums_to_list_are_looked_at_by_samples(monkeypatch, caplog):
    monkeypatch.setattr(distribution_module, 'LARGEST', 40)
    rows = [tuple(row) for row in np.random.default_rng(0).integers(10 ** 9, size=(6, 3))]
    assert SumDistribution(0, rows).share(10 ** 10) == pytest.approx(1)     # halves of 27 values
    with pytest.raises(TooManySumsError, match='sums of 7 terms have too many values'):
        SumDistribution(0, [*rows, (1, 2, 3)])
    monkeypatch.setattr(distribution_module, 'LARGEST', 10)
    space = ChoiceBlockSpace([dict(channels=8, num_blocks=2), dict(channels=20, num_blocks=2)], stem_channels=6)
    settings, context = dict(type='AdditiveMacs', scope='backbone'), dict(
        space=space, model=dict(backbone={}, neck=dict(in_channels=[1, 2])))
    cost = build(COSTS, dict(settings, limit=1e12), **context)
    assert cost.distribution is None
    check_limits(space, [cost], seed=0)
    assert 'restricts nothing: 100.00% of random architectures' in caplog.text
    with pytest.raises(ValueError, match='a quantile of ChoiceBlockSpace cannot be told'):
        build(COSTS, dict(settings, limit=dict(quantile=0.5)), **context)


def test_a_thousand_checks_take_milliseconds(cost):
    drawn = genotypes(cost.space, 1000)
    spent = []
    for _ in range(20):
        started = time.process_time()
        for genotype in drawn:
            cost(genotype)
        spent.append(time.process_time() - started)
    assert min(spent) < 0.01        # seconds of the processor; 4 ms where nothing else runs


def test_refuses_spaces_without_a_table():
    with pytest.raises(ValueError, match='MergingCellSpace has none: use Macs'):
        AdditiveMacs(MergingCellSpace(), MODEL)


class Coupled(ChoiceBlockSpace):
    """Says that its blocks decide the cost, and widens the stem with them."""

    def apply(self, genotype, model):
        applied = super().apply(genotype, model)
        value = applied.backbone.genotype
        value['stem_channels'] += 2 * sum(stage['blocks'].count('xception') for stage in value['stages'])
        return applied


def test_finds_a_cost_that_is_no_sum():
    space = Coupled([dict(channels=8, num_blocks=1)], stem_channels=4)
    with pytest.raises(ValueError, match='outside the blocks of Coupled costs .* depending on the blocks; use Macs'):
        AdditiveMacs(space, dict(backbone={}, neck=dict(in_channels=[1])))(space.sample(np.random.default_rng(0)))
