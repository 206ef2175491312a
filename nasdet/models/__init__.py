"""Networks that take a genotype as a plain argument; importing this package registers them in mmdet's MODELS."""

from nasdet.models import backbones, classifiers, detectors, narrowed, necks, resized_input

__all__ = ['backbones', 'classifiers', 'detectors', 'narrowed', 'necks', 'resized_input']
