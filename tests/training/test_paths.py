from collections import Counter
from types import SimpleNamespace

import pytest
from torch import nn

from nasdet.costs.base import Cost
from nasdet.costs.distribution import SumDistribution
from nasdet.genotype import Genotype
from nasdet.randomness import PATHS, SEARCH, generator
from nasdet.spaces.base import Choice
from nasdet.training.paths import BinnedPaths, PathSamplingHook, build_sampler, searched_modules
from tests.training.toys import BLOCKS, BlockSpace, ChoiceBlock


def sequence(hook, iterations, seed=0):
    model = ChoiceBlock()
    blocks = []
    for iteration in iterations:
        hook.before_train_iter(SimpleNamespace(seed=seed, iter=iteration, model=model, cfg={}), 0)
        blocks.append(model.block)
    return blocks


def test_path_follows_from_seed_and_iteration_alone():
    hook = PathSamplingHook(BlockSpace())
    whole = sequence(hook, range(20))
    assert sequence(PathSamplingHook(dict(type='BlockSpace')), range(10, 20)) == whole[10:]     # as after a resume
    assert sequence(hook, range(20), seed=1) != whole
    assert sequence(PathSamplingHook(BlockSpace(), seed=0), range(20), seed=5) == whole


def test_ranks_with_seeds_of_their_own_are_refused():
    runner = SimpleNamespace(seed=1, cfg=dict(randomness=dict(seed=0, diff_rank_seed=True)))
    with pytest.raises(ValueError, match='diff_rank_seed=True gives each rank a seed of its own'):
        PathSamplingHook(BlockSpace()).before_train(runner)
    PathSamplingHook(BlockSpace(), seed=3).before_train(runner)     # the same on all ranks


def test_a_supernet_is_not_trained_on_the_paths_that_a_search_then_proposes():
    class TenBlocks(BlockSpace):
        """Ten decisions instead of one, so that no two draws are equal by chance."""

        def choices(self, prefix):
            return None if len(prefix) == 10 else Choice(f'block{len(prefix)}', 'block', tuple(range(BLOCKS)))

        def decode(self, tokens):
            return Genotype('BlockSpace', dict(block=list(tokens)))

    space, hook = TenBlocks(), PathSamplingHook(TenBlocks())
    proposed = {space.sample(generator(0, trial, SEARCH)) for trial in range(60)}
    assert len(proposed) == 60
    assert not proposed & {hook.path(0, iteration) for iteration in range(60)}


def test_paths_are_uniform():
    counts = Counter(sequence(PathSamplingHook(BlockSpace()), range(4000)))
    expected = 4000 / BLOCKS
    chi2 = sum((counts[block] - expected) ** 2 / expected for block in range(BLOCKS))
    assert chi2 < 16.3      # 0.999 quantile at 3 degrees of freedom


def test_outermost_modules_only():
    outer = ChoiceBlock()
    outer.inner = ChoiceBlock()
    model = nn.ModuleDict(dict(neck=outer, necktie=ChoiceBlock(), head=nn.Linear(1, 1)))
    assert list(searched_modules(model)) == ['neck', 'necktie']
    assert list(searched_modules(outer)) == ['']
    with pytest.raises(ValueError, match='no supernet'):
        searched_modules(model['head'])


class Dice(BlockSpace):
    """Five throws, so that middling sums are frequent and extreme ones rare."""

    def choices(self, prefix):
        return None if len(prefix) == 5 else Choice(f'die{len(prefix)}', 'block', tuple(range(BLOCKS)))

    def decode(self, tokens):
        return Genotype('BlockSpace', dict(block=sum(tokens)))


class Sum(Cost):
    """What the dice show, with its distribution where it is asked for."""

    def __init__(self, space, model=None, known=True):
        super().__init__(space, model)
        self.known = known

    def __call__(self, genotype):
        return genotype.value['block']

    @property
    def distribution(self):
        return SumDistribution(0, [range(BLOCKS)] * 5) if self.known else None


def test_binned_paths_fall_into_each_bin_equally_often_and_uniformly_inside():
    edges = (2, 5, 7, 14)
    draw = build_sampler(dict(type='BinnedPaths', cost=dict(type=Sum), edges=edges), Dice(), None)
    sums = Counter(draw(generator(0, iteration, PATHS)).value['block'] for iteration in range(3000))
    assert min(sums) == 2 and max(sums) == 13
    shares = SumDistribution(0, [range(BLOCKS)] * 5).share_between
    for low, high in zip(edges, edges[1:], strict=False):
        inside = sum(sums[value] for value in range(low, high))
        assert abs(inside - 1000) < 4 * (3000 * 2 / 9) ** 0.5       # four standard deviations
        for value in range(low, high):
            share = shares(value, value + 1) / shares(low, high)
            assert abs(sums[value] - inside * share) < 4 * (inside * share * (1 - share)) ** 0.5 + 1


def test_a_bin_that_is_not_met_in_time_gives_a_free_path():
    draw = BinnedPaths(Dice(), Sum(Dice(), known=False), edges=(100, 200), tries=3)
    paths = [draw(generator(0, iteration, PATHS)).value['block'] for iteration in range(200)]
    assert len(set(paths)) > 8
    rng = generator(0, 7, PATHS)
    assert paths[7] == [Dice().sample(rng) for _ in range(4)][-1].value['block']


def test_binned_paths_follow_from_seed_and_iteration_and_count_in_the_runners_model():
    class InModel(Sum):
        """Refuses another model than the runner's."""

        def __init__(self, space, model):
            assert model == dict(type='Supernet')
            super().__init__(space, model)

    def hook():
        made = PathSamplingHook(Dice(), sampling=dict(type='BinnedPaths', cost=dict(type=InModel), edges=[0, 3, 16]))
        made.before_train(SimpleNamespace(seed=0, cfg=dict(model=dict(type='Supernet'))))
        return made

    whole = sequence(hook(), range(20))
    assert sequence(hook(), range(10, 20)) == whole[10:]
    assert sequence(hook(), range(20), seed=1) != whole
    assert whole != sequence(PathSamplingHook(Dice()), range(20))


@pytest.mark.parametrize('edges, words', [
    ([3], 'two or more ascending'), ([3, 3], 'two or more ascending'), ([0, 5, 4], 'two or more ascending'),
    ([10, 16, 20], 'no path of Dice has from 16 up to 20 .*range is 0 to 15')])
def test_wrong_bins_are_refused(edges, words):
    with pytest.raises(ValueError, match=words):
        BinnedPaths(Dice(), Sum(Dice()), edges)
