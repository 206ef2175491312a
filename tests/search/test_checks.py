"""What both kinds of search refuse before they start: parts that do not fit, data that have changed."""

from contextlib import closing

import pytest

from nasdet.errors import SearchError
from nasdet.history import History
from nasdet.objective import Objective
from nasdet.search.checks import check_fingerprint, check_fit
from tests.toys import ToyEstimator, ToySpace


class Applying(ToyEstimator):
    requires = ('apply',)


class Measuring(ToyEstimator):
    metric_names = ('score',)


class Picky(ToySpace):
    def check_model(self, model):
        raise ValueError('this model has no neck')


@pytest.mark.parametrize('estimator, space, objective, model, complaint', [
    (Applying, ToySpace, 'score', None, r'Applying needs a space with apply\(\), ToySpace has none'),
    (Measuring, Picky, 'score', dict(type='Chain'), 'this model has no neck'),
    (Measuring, ToySpace, 'scores', None, "did you mean 'score'")])
def test_parts_that_do_not_fit_are_refused(estimator, space, objective, model, complaint):
    space = space(3)
    with pytest.raises(ValueError, match=complaint):
        check_fit(estimator(space), space, [], Objective(objective), model)


def test_parts_that_fit_pass():
    check_fit(Measuring(Picky(3)), Picky(3), [], Objective('score'), None)


def test_a_search_goes_on_with_the_data_that_it_began_with_only(tmp_path):
    began, same, other = (ToyEstimator(ToySpace(3), noise=noise) for noise in (0.1, 0.1, 0.2))
    with closing(History(tmp_path / 'history.sqlite')) as history:
        for estimator in (began, same):
            check_fingerprint(estimator, history, tmp_path)
        with pytest.raises(SearchError, match='has changed since; restore it, or choose another --work-dir'):
            check_fingerprint(other, history, tmp_path)
        check_fingerprint(same, history, tmp_path)      # what was refused left no trace
