"""The suite of costs accepts what is right and finds what is broken."""

import numpy as np
import pytest

from nasdet.costs.base import Cost
from nasdet.testing import check_cost
from tests.toys import ToySpace


class Width(Cost):
    unit = 'channels'

    def __call__(self, genotype):
        return sum(layer.get('width', 0) for layer in genotype.value['layers'])


class Below(Width):
    def __call__(self, genotype):
        return -1.0


class Restless(Width):
    calls = 0

    def __call__(self, genotype):
        self.calls += 1
        return self.calls


class Writing(Width):
    def __call__(self, genotype):
        self.model['seen'] = True
        return 1.0


def test_a_right_cost_passes_and_broken_ones_are_found():
    space = ToySpace(4)
    genotypes = [space.sample(np.random.default_rng(seed)) for seed in range(5)]
    check_cost(Width(space, dict(type='Chain')), genotypes)
    for cls, complaint in ((Below, 'below zero'), (Restless, 'second time'), (Writing, 'model config')):
        with pytest.raises(AssertionError, match=complaint):
            check_cost(cls(space, dict(type='Chain')), genotypes)
