"""The suite of estimators accepts what is right and finds what is broken."""

import numpy as np
import pytest

from nasdet.testing import check_estimator
from tests.toys import ToyEstimator, ToySpace


class Unseeded(ToyEstimator):
    def evaluate(self, genotype, budget, seed, folder=None):
        return super().evaluate(genotype, budget, int(np.random.default_rng().integers(2 ** 31)), folder)


class FolderReader(ToyEstimator):
    def evaluate(self, genotype, budget, seed, folder=None):
        return super().evaluate(genotype, budget, seed + (folder is None), folder)


class Counting(ToyEstimator):
    evaluations = 0

    def evaluate(self, genotype, budget, seed, folder=None):
        self.evaluations += 1
        return super().evaluate(genotype, budget, seed, folder)

    @property
    def fingerprint(self):
        return f'{super().fingerprint}-{self.evaluations}'


def test_a_right_estimator_passes():
    space = ToySpace(4)
    check_estimator(ToyEstimator(space, noise=0.1), space.sample(np.random.default_rng(0)))


@pytest.mark.parametrize('cls, behaviour, complaint', [
    (Unseeded, None, 'other metrics'), (FolderReader, None, 'without a folder'),
    (Counting, None, 'fingerprint changes'), (ToyEstimator, 'nan', 'finite')])
def test_a_broken_estimator_is_found(cls, behaviour, complaint):
    space = ToySpace(4)
    estimator = cls(space, noise=0.1, behaviours={'*': behaviour})
    with pytest.raises(AssertionError, match=complaint):
        check_estimator(estimator, space.sample(np.random.default_rng(0)))
