"""Detectors that differ from mmdet's own in their training."""

from nasdet.models.detectors.anytime import DeeplySupervisedSingleStage, DeeplySupervisedTwoStage

__all__ = ['DeeplySupervisedSingleStage', 'DeeplySupervisedTwoStage']
