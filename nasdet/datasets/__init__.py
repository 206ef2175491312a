"""Data: the built-in digits, splits of COCO files, and what points a config at them."""

from nasdet.datasets.classification import CIFAR, HandwrittenDigits, ImageFolder, NpzImages
from nasdet.datasets.classification_metrics import Accuracy
from nasdet.datasets.coco import split_coco, split_detnas, split_nas_fpn
from nasdet.datasets.config import check_splits, prepare
from nasdet.datasets.digits import make_digits
from nasdet.datasets.metrics import RawCocoMetric

__all__ = [
    'Accuracy', 'CIFAR', 'HandwrittenDigits', 'ImageFolder', 'NpzImages', 'RawCocoMetric', 'check_splits',
    'make_digits', 'prepare', 'split_coco', 'split_detnas', 'split_nas_fpn',
]
