"""Data: the built-in digits, splits of COCO files, and what points a config at them."""

from nasdet.datasets.classification import CIFAR, HandwrittenDigits, ImageFolder, NpzImages
from nasdet.datasets.classification_metrics import Accuracy
from nasdet.datasets.classification_splits import ClassificationDataset, StratifiedSubset
from nasdet.datasets.coco import split_coco, split_detnas, split_nas_fpn
from nasdet.datasets.config import check_splits, prepare
from nasdet.datasets.digits import make_digits
from nasdet.datasets.metrics import RawCocoMetric

__all__ = [
    'Accuracy', 'CIFAR', 'ClassificationDataset', 'HandwrittenDigits', 'ImageFolder', 'NpzImages', 'RawCocoMetric',
    'StratifiedSubset', 'check_splits', 'make_digits', 'prepare', 'split_coco', 'split_detnas', 'split_nas_fpn',
]
