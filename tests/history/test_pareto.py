"""The Pareto front against its definition."""

import numpy as np
import pytest

from nasdet.history.pareto import front


def dominates(a, b) -> bool:
    return (a >= b).all() and (a > b).any()


@pytest.mark.parametrize('figures', [1, 2, 3])
def test_it_is_what_nothing_dominates(figures):
    points = np.random.default_rng(figures).integers(0, 6, (60, figures))     # with ties and equals
    found = front(points.tolist())
    wanted = {tuple(point) for point in points if not any(dominates(other, point) for other in points)}
    assert {tuple(points[index]) for index in found} == wanted and len(found) == len(wanted)
    assert [points[index][0] for index in found] == sorted((points[index][0] for index in found), reverse=True)


def test_of_equals_the_first_stays():
    assert front([(1, 1), (2, 0), (1, 1), (0, 0)]) == [1, 0]


def test_no_points_no_front():
    assert front([]) == []
