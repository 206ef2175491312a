"""Conformance suites: what anyone's Space, Searcher, Estimator, Trainer, Cost and Engine must hold to.

Plain functions for a test to call; each raises AssertionError with a sentence that says what is wrong::

    def test_my_space():
        check_space(MySpace(), np.random.default_rng(0))
"""

from nasdet.testing.costs import check_cost
from nasdet.testing.engines import check_engine
from nasdet.testing.estimators import check_estimator
from nasdet.testing.searchers import check_searcher
from nasdet.testing.spaces import check_space
from nasdet.testing.trainers import check_trainer

__all__ = ['check_cost', 'check_engine', 'check_estimator', 'check_searcher', 'check_space', 'check_trainer']
