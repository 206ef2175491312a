"""Estimators: how good an architecture is."""

from nasdet.estimators.tabular import TabularEstimator
from nasdet.estimators.training import TrainingEstimator

__all__ = ['TabularEstimator', 'TrainingEstimator']
