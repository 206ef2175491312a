"""What a cost must hold to."""

import math
from copy import deepcopy
from typing import Sequence

from nasdet.costs.base import Cost
from nasdet.genotype import Genotype


def check_cost(cost: Cost, genotypes: Sequence[Genotype]) -> None:
    """Check a cost: deterministic, finite, and without a trace on the model config it reads.

    Args:
        cost: The cost.
        genotypes: What it measures.
    """
    model = deepcopy(cost.model)
    assert isinstance(cost.name, str) and cost.name, 'a cost has a name'
    for genotype in genotypes:
        value = cost(genotype)
        assert isinstance(value, (int, float)) and math.isfinite(value), f'{cost.name} is {value!r}, not a number'
        assert value >= 0, f'{cost.name} is {value} {cost.unit}, below zero'
        assert cost(genotype) == value, f'{cost.name} differs the second time'
    assert cost.model == model, f'{cost.name} changes the model config that it was given'
