"""The two tasks, detection and classification: what a search does differently for each is asked of one module."""

from types import ModuleType
from typing import Mapping

from nasdet.datasets import classification_task, detection_task
from nasdet.datasets.classification_splits import dataset_class
from nasdet.datasets.dataloaders import innermost

NAMES = ('NOUN', 'OBJECTIVE', 'point', 'check_splits', 'metric_names', 'limited', 'check_limit', 'read_as',
         'set_resolution', 'spread', 'join_splits', 'digests', 'refuse_seen')


def task_of(cfg: Mapping) -> ModuleType:
    """Return the module of a config's task, which its training data decide.

    Args:
        cfg: With ``train_dataloader``.

    Returns:
        :mod:`~nasdet.datasets.classification_task` for labelled images, else
        :mod:`~nasdet.datasets.detection_task`; both have all of ``NAMES``.
    """
    return detection_task if dataset_class(innermost(cfg, 'train')) is None else classification_task
