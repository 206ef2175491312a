from collections import Counter
from types import SimpleNamespace

import pytest
from torch import nn

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
