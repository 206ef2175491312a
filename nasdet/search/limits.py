"""Cost limits: which one an architecture breaks, and whether none, some or nearly all architectures meet them."""

import logging
import time
from typing import Mapping, Optional, Sequence

import numpy as np

from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.randomness import LIMITS, generator
from nasdet.spaces.base import Space

SECONDS = 8.0
INERT = 0.99            # a limit that more architectures than this share meet restricts nothing
SAMPLES = 300           # if all of them meet a limit, more than that share does, at 95 % confidence
SAMPLING_SECONDS = 0.5  # what they may take; a slower cost is not looked at
logger = logging.getLogger('nasdet.search')


def over_limit(costs: Sequence[Cost], values: Mapping[str, float]) -> str:
    """Return which limit the cost values break, in words, or ''."""
    for cost in costs:
        if cost.limit is not None and values[cost.name] > cost.limit:
            return f'{cost.name} is {values[cost.name]:,.15g} {cost.unit}, over its limit {cost.limit:,.15g}'
    return ''


def record_limits(settings: Sequence[dict], costs: Sequence[Cost]) -> None:
    """Put the number that a limit is into the config in the place of its quantile, for the record and for a resume.

    Args:
        settings: The configs of the costs; changed.
        costs: Built from them.
    """
    for setting, cost in zip(settings, costs, strict=True):
        if isinstance(setting.get('limit'), Mapping):
            logger.info('%s: its limit of %s is %s %s', cost.name, dict(setting['limit']), f'{cost.limit:,}', cost.unit)
            setting['limit'] = cost.limit


def check_limits(space: Space, costs: Sequence[Cost], seed: int) -> None:
    """Refuse cost limits that nothing meets, and warn of those that over 99 % of random architectures meet.

    Both are told exactly where a cost knows its distribution. Otherwise a limit is refused that no random sample meets,
    nor a mutation of the cheapest, within 8 seconds; and the warning is left to costs of which 300 samples take half a
    second at most.

    Args:
        space: Of the architectures.
        costs: Those without a limit are not looked at.
        seed: Of the samples.

    Raises:
        SearchError: Names each limit that was never met and the least value seen.
    """
    limited = [cost for cost in costs if cost.limit is not None]
    known = [cost for cost in limited if cost.distribution is not None]
    for cost in known:
        if cost.distribution.least > cost.limit:
            raise SearchError(f'no architecture of {space.name} meets the limit of {cost.limit:,.15g} {cost.unit} of '
                              f'{cost.name}, the cheapest has {cost.distribution.least:,}: raise the limit')
    if len(limited) > 1 or not known:
        _check_together(space, limited, generator(seed, 0, LIMITS))
    for cost in limited:
        share = _share(space, cost, generator(seed, 1, LIMITS))
        if share is not None and share > INERT:
            logger.warning('%s', f'the limit of {cost.limit:,.15g} {cost.unit} of {cost.name} restricts nothing: '
                           f'{share:.2%} of random architectures meet it; lower it, or leave it out')


def _share(space: Space, cost: Cost, rng: np.random.Generator) -> Optional[float]:
    """Return the share of random architectures that meet a cost's limit; None where that takes too long to tell."""
    if cost.distribution is not None:
        return cost.distribution.share(cost.limit)
    met, end = 0, time.monotonic() + SAMPLING_SECONDS
    for _ in range(SAMPLES):
        met += cost(space.sample(rng)) <= cost.limit
        if time.monotonic() > end:
            return None
    return met / SAMPLES


def _check_together(space: Space, limited: Sequence[Cost], rng: np.random.Generator) -> None:
    """Look for an architecture that meets all limits; SearchError where none is found."""
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
