"""Backbones that mmdet does not have."""

from nasdet.models.backbones.resnet10 import ResNet10

__all__ = ['ResNet10']
