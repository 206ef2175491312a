"""The exact distribution of a cost that is a sum of one term a decision."""

from collections import Counter
from typing import Sequence

import numpy as np

LARGEST = 5_000_000     # values of a half, before equal ones are joined: some 300 MB and 15 s


class TooManySumsError(ValueError):
    """A sum has too many values for its distribution to be exact."""


class SumDistribution:
    """Distribution of a sum whose terms are drawn independently, each uniformly from a list of whole numbers.

    The terms are convolved into two halves of the sum, each a sorted list of values: the sum itself may have too many
    values to list (4 ** 40), but its distribution function needs only the pairs of values of the halves.

    Args:
        fixed: What is always added.
        rows: The numbers that each term is drawn from.

    Raises:
        TooManySumsError: A half has more than five million values; the paper's spaces have a million at most.
    """

    def __init__(self, fixed: int, rows: Sequence[Sequence[int]]):
        self.fixed = fixed
        self.least = fixed + sum(min(row) for row in rows)
        self.most = fixed + sum(max(row) for row in rows)
        self.mean = fixed + sum(sum(row) / len(row) for row in rows)
        halves = [(np.zeros(1, np.int64), np.ones(1))] * 2
        for row, number in Counter(tuple(sorted(row)) for row in rows).most_common():   # equal ones have fewer sums
            halves.sort(key=lambda half: len(half[0]))
            for _ in range(number):
                if len(halves[0][0]) * len(row) > LARGEST:
                    raise TooManySumsError(f'sums of {len(rows)} terms have too many values to list half of them')
                halves[0] = _convolve(*halves[0], row)
        (self._values, self._shares), (self._others, other_shares) = halves
        self._others_up_to = np.concatenate([[0.0], np.cumsum(other_shares)])

    def share(self, limit: float) -> float:
        """Return the probability that the sum is at most ``limit``."""
        fitting = np.searchsorted(self._others, limit - self.fixed - self._values, side='right')
        return float(self._shares @ self._others_up_to[fitting])

    def share_between(self, low: float, high: float) -> float:
        """Return the probability that the sum is at least ``low`` and below ``high``."""
        return self.share(np.nextafter(high, -np.inf)) - self.share(np.nextafter(low, -np.inf))

    def quantile(self, share: float) -> int:
        """Return the smallest value that at least this share of the sums does not exceed.

        Raises:
            ValueError: The share is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f'a quantile is above 0 and at most 1, not {share!r}')
        low, high = self.least, self.most
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.share(middle) >= share else (middle + 1, high)
        return low


def _convolve(values: np.ndarray, shares: np.ndarray, row: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted values, and their probabilities, of a sum with one more term."""
    sums, places = np.unique(np.add.outer(values, np.array(row)), return_inverse=True)
    return sums, np.bincount(places.ravel(), weights=np.repeat(shares / len(row), len(row)))
