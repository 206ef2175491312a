"""Estimators: how good an architecture is."""

from nasdet.estimators.supernet import SupernetEstimator
from nasdet.estimators.tabular import TabularEstimator
from nasdet.estimators.training import TrainingEstimator

__all__ = ['SupernetEstimator', 'TabularEstimator', 'TrainingEstimator']
