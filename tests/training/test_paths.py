from collections import Counter
from types import SimpleNamespace

import pytest
from torch import nn

from nasdet.genotype import Genotype
from nasdet.randomness import SEARCH, generator
from nasdet.spaces.base import Choice
from nasdet.training.paths import PathSamplingHook, searched_modules
from tests.training.toys import BLOCKS, BlockSpace, ChoiceBlock


def sequence(hook, iterations, seed=0):
    model = ChoiceBlock()
    blocks = []
    for iteration in iterations:
        hook.before_train_iter(SimpleNamespace(seed=seed, iter=iteration, model=model), 0)
        blocks.append(model.block)
    return blocks


def test_path_follows_from_seed_and_iteration_alone():
    hook = PathSamplingHook(BlockSpace())
    whole = sequence(hook, range(20))
    assert sequence(PathSamplingHook(dict(type='BlockSpace')), range(10, 20)) == whole[10:]     # as after a resume
    assert sequence(hook, range(20), seed=1) != whole
    assert sequence(PathSamplingHook(BlockSpace(), seed=0), range(20), seed=5) == whole


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
