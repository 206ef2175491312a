"""Trainers: searches within one training."""

from nasdet.trainers.darts import DARTSTrainer
from nasdet.trainers.enas import ENASTrainer

__all__ = ['DARTSTrainer', 'ENASTrainer']
