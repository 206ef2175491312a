"""The Pareto front: what no other architecture beats in reward and in every cost."""

from typing import Sequence

import numpy as np


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other point dominates.

    A point dominates another that is nowhere larger and somewhere smaller; of equal points the first stays.

    Args:
        points: Each as many figures, all of them to be maximised.

    Returns:
        Indices, by the first figure from the largest down.
    """
    kept: list[int] = []
    values = np.array(points, dtype=float).reshape(len(points), len(points[0]) if points else 1)
    for index in np.lexsort([np.arange(len(values)), *(-values.T[::-1])]):   # a later one cannot dominate
        if not any((values[other] >= values[index]).all() for other in kept):
            kept.append(int(index))
    return kept
