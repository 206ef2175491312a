"""Image classifiers, in which backbones are pre-trained."""

from nasdet.models.classifiers.classifier import ImageClassifier

__all__ = ['ImageClassifier']
