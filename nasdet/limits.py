"""Cost limits: which one an architecture breaks, and whether any architecture meets them at all."""

import time
from typing import Mapping, Sequence

import numpy as np

from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.randomness import LIMITS, generator
from nasdet.spaces.base import Space

SECONDS = 8.0


def over_limit(costs: Sequence[Cost], values: Mapping[str, float]) -> str:
    """Return which limit the cost values break, in words, or ''."""
    for cost in costs:
        if cost.limit is not None and values[cost.name] > cost.limit:
            return f'{cost.name} is {values[cost.name]:,.15g} {cost.unit}, over its limit {cost.limit:,.15g}'
    return ''


def check_limits(space: Space, costs: Sequence[Cost], seed: int) -> None:
    """Refuse cost limits that no random sample meets, nor a mutation of the cheapest, within 8 seconds.

    Args:
        space: Of the architectures.
        costs: Those without a limit are not looked at.
        seed: Of the samples.

    Raises:
        SearchError: Names each limit that was never met and the least value seen.
    """
    limited = [cost for cost in costs if cost.limit is not None]
    rng = generator(seed, 0, LIMITS)
    least: dict[str, tuple[float, Genotype]] = {}
    samples, end = 0, time.monotonic() + SECONDS
    while limited and (samples == 0 or time.monotonic() < end):
        genotype = _draw(space, [genotype for _, genotype in least.values()], rng)
        values = {cost.name: cost(genotype) for cost in limited}
        samples += 1
        if not over_limit(limited, values):
            return
        for name, value in values.items():
            if name not in least or value < least[name][0]:
                least[name] = (value, genotype)
    if limited:
        raise SearchError(_refusal(limited, {name: value for name, (value, _) in least.items()}, samples))


def _draw(space: Space, cheapest: list[Genotype], rng: np.random.Generator) -> Genotype:
    """Draw a genotype: half of them at random, half close to the cheapest so far."""
    if not cheapest or rng.random() < 0.5:
        return space.sample(rng)
    try:
        return space.mutate(cheapest[rng.integers(len(cheapest))], rng)
    except ValueError:      # the space is so small that it has no other network
        return space.sample(rng)


def _refusal(limited: Sequence[Cost], least: Mapping[str, float], samples: int) -> str:
    broken = [cost for cost in limited if least[cost.name] > cost.limit]
    each = ', and '.join(f'{cost.limit:,.15g} {cost.unit} of {cost.name}, where the least seen is '
                         f'{least[cost.name]:,.15g}' for cost in broken or limited)
    together = '' if broken else 'together '
    return f'none of {samples} sampled architectures {together}meets the limit of {each}: raise the limit'
