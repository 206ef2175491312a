"""Trainers: searches within one training."""

from nasdet.trainers.darts import DARTSTrainer
from nasdet.trainers.enas import ENASTrainer
from nasdet.trainers.morphnet import MorphNetTrainer

__all__ = ['DARTSTrainer', 'ENASTrainer', 'MorphNetTrainer']
