"""Rank correlation by Kendall's tau-b, with intervals by the bootstrap, and with a third quantity held constant.

M. G. Kendall, "Partial rank correlation", Biometrika 32 (1942), pp. 277-283.
"""

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000
FEWEST = 10         # items of which an interval is given


@dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Args:
        value: In -1..1; nan where one of the rankings is constant.
        low: Lower end of its 95 % interval; None where there are too few items for one.
        high: Upper end.
        count: Number of items.
    """

    value: float
    low: Optional[float]
    high: Optional[float]
    count: int

    def __str__(self) -> str:
        interval = 'unknown' if self.low is None else f'{self.low:.3f} to {self.high:.3f}'
        return f'{self.value:6.3f}  (95 % interval {interval}, n = {self.count})'


def tau(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Kendall's tau-b."""
    return float(stats.kendalltau(x, y).statistic)


def partial_tau(x: Sequence[float], y: Sequence[float], given: Sequence[float]) -> float:
    """Return Kendall's partial rank correlation of x and y with ``given`` held constant.

    (tau_xy - tau_xz tau_yz) / sqrt((1 - tau_xz^2) (1 - tau_yz^2)): Kendall 1942. It is nan where x or y has the
    ranking of ``given``.
    """
    xy, xz, yz = tau(x, y), tau(x, given), tau(y, given)
    left = (1 - xz ** 2) * (1 - yz ** 2)
    return (xy - xz * yz) / math.sqrt(left) if left > 0 else math.nan


def correlate(statistic: Callable, *columns: Sequence[float]) -> Correlation:
    """Return a rank correlation with its interval: the bootstrap's percentiles over 2,000 resamples of the items.

    A resample in which a correlation does not exist is left out.

    Args:
        statistic: :func:`tau`, :func:`partial_tau` or a function like them.
        *columns: A figure of each item, in the same order; as many columns as ``statistic`` takes.
    """
    count = len(columns[0])
    low = high = None
    if count >= FEWEST:
        resampled = stats.bootstrap(columns, statistic, paired=True, vectorized=False, n_resamples=RESAMPLES,
                                    method='percentile', rng=np.random.default_rng(0)).bootstrap_distribution
        low, high = (float(end) for end in np.nanpercentile(resampled, (50 * (1 - LEVEL), 50 * (1 + LEVEL))))
    return Correlation(statistic(*columns), low, high, count)
