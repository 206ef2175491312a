"""Architectures at equal cost: each gets the width at which it takes as many multiply-adds as the others."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from typing import Callable

from nasdet.confirm.finalists import Candidate

TOLERANCE = 0.02


@dataclass(frozen=True)
class Finalist:
    """An architecture in its detector.

    Args:
        candidate: To confirm.
        width: Channels of what was searched.
        macs: Multiply-adds, for one image, of what was searched.
        params: Parameters of the whole detector.
    """

    candidate: Candidate
    width: int
    macs: int
    params: int


def match(at: Callable[[int], Finalist], target: int, widest: int) -> Finalist:
    """Return an architecture at the width whose multiply-adds are nearest to a target.

    Args:
        at: Gives it at some width; its multiply-adds grow with the width.
        target: Multiply-adds.
        widest: The largest width.

    Raises:
        ValueError: It comes no nearer than 2 %.
    """
    at = cache(at)
    first = 1 + bisect_left(range(1, widest), target, key=lambda width: at(width).macs)
    best = min((at(width) for width in (max(first - 1, 1), first)), key=lambda one: abs(one.macs - target))
    if abs(best.macs - target) > TOLERANCE * target:
        raise ValueError(f'{best.candidate.name} comes no nearer to {target} multiply-adds than {best.macs}, at '
                         f'{best.width} channels')
    return best
