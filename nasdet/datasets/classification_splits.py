"""Labelled images: how they are split into train, val and test, and what a dataset of them is."""

import copy
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

import numpy as np
from mmdet.registry import DATASETS
from sklearn.model_selection import train_test_split
from torch.utils.data import Dataset

from nasdet.datasets.classification_transforms import compose

SPLITS = ('train', 'val', 'trainval', 'test')
Size = Union[int, float]


def split_indices(labels: Sequence[int], val_size: Size, test_size: Size, seed: int,
                  train_size: Optional[Size] = None) -> dict[str, np.ndarray]:
    """Split samples at random, with the classes in equal shares; equal arguments give equal splits.

    Args:
        labels: The class of each sample.
        val_size: Number of samples of val, or as a float its share of what test leaves.
        test_size: Number of samples of test, or as a float its share of all.
        seed: Of the split.
        train_size: Number of samples of train, or as a float its share of what test and val leave; None: all of that.

    Returns:
        Sorted indices of ``'train'``, ``'val'`` and ``'test'``; disjoint, and without ``train_size`` every sample.

    Raises:
        ValueError: A size that is negative, or that leaves too few samples for the number of classes.
    """
    labels = np.asarray(labels)
    rest, test = _carve(np.arange(len(labels)), labels, test_size, seed)
    rest, val = _carve(rest, labels, val_size, seed)
    train = rest if train_size in (None, len(rest)) else _carve(rest, labels, train_size, seed)[1]
    return dict(train=train, val=val, test=test)


def indices_of(split: str, labels: Sequence[int], val_size: Size, test_size: Size, seed: int,
               train_size: Optional[Size] = None) -> np.ndarray:
    """Return the sorted indices of one split.

    Args:
        split: ``'train'``, ``'val'``, ``'test'``, or ``'trainval'``: train and val together.
        labels: As :func:`split_indices` takes it, and so all the others.
        val_size: See there.
        test_size: See there.
        seed: See there.
        train_size: See there.

    Raises:
        ValueError: An unknown split, or as :func:`split_indices` raises it.
    """
    check_split(split)
    parts = split_indices(labels, val_size, test_size, seed, train_size)
    return np.sort(np.concatenate([parts['train'], parts['val']])) if split == 'trainval' else parts[split]


def check_split(split: str) -> None:
    """Refuse an unknown split: ValueError."""
    if split not in SPLITS:
        raise ValueError(f'split is one of {", ".join(SPLITS)}, not {split!r}')


def _carve(indices: np.ndarray, labels: np.ndarray, size: Size, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices that are left, and ``size`` of them."""
    if size == 0:
        return indices, indices[:0]
    try:
        kept, carved = train_test_split(indices, test_size=size, random_state=seed, stratify=labels[indices])
    except ValueError as error:
        raise ValueError(f'{size} of {len(indices)} images of {len(np.unique(labels[indices]))} classes cannot be '
                         f'taken with the classes in equal shares: {error}') from error
    return np.sort(kept), np.sort(carved)


class ClassificationDataset(Dataset):
    """One split of a sequence of labelled images.

    An item is ``dict(inputs=uint8 tensor (3, H, W), data_samples=label)``, RGB; normalising is the work of the
    model's data preprocessor. Batches are made by mmengine's ``default_collate``.

    A subclass is registered in mmdet's DATASETS and takes ``split`` and ``transforms``; a search then gives it the
    splits ``'train'``, ``'val'``, ``'trainval'`` and ``'test'``.

    Args:
        samples: ``(image, label)`` pairs, the image a PIL image or an array (H, W, 3) of uint8.
        labels: The label of each sample.
        classes: Names of the classes.
        indices: The samples that belong to this split.
        transforms: Configs of :func:`nasdet.datasets.classification_transforms.compose`.
    """

    paths: tuple[str, ...] = ()     # arguments that name files or folders

    def __init__(self, samples: Sequence, labels: Sequence[int], classes: Sequence[str], indices: Sequence[int],
                 transforms: Sequence[dict] = ()):
        self.samples = samples
        self.indices = np.asarray(indices, int)
        self.labels = np.asarray(labels)[self.indices]
        self.transform = compose(transforms)
        self.metainfo = dict(classes=tuple(classes))

    @classmethod
    def contents(cls, cfg: Mapping) -> dict[str, Any]:
        """Return a config of this class with what its files hold in the place of their paths.

        Args:
            cfg: Of one split; what only another split reads is left out.
        """
        return dict(cfg)

    def files(self) -> list[Path]:
        """Return the picture files of the split, where each image is one."""
        return []

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:
        image, label = self.samples[self.indices[index]]
        return dict(inputs=self.transform(image), data_samples=int(label))

    def get_subset(self, indices: Sequence[int]) -> 'ClassificationDataset':
        """Return the dataset of some of the items."""
        part = copy.copy(self)
        part.indices, part.labels = self.indices[indices], self.labels[indices]
        return part


def dataset_class(cfg: Mapping) -> Optional[type[ClassificationDataset]]:
    """Return the class that a dataset's config names where that is a classification dataset, else None."""
    kind = cfg.get('type')
    cls = kind if isinstance(kind, type) else DATASETS.module_dict.get(kind)
    return cls if isinstance(cls, type) and issubclass(cls, ClassificationDataset) else None


@DATASETS.register_module()
class StratifiedSubset(Dataset):
    """Some images of a classification dataset, with the classes in equal shares.

    Args:
        dataset: Config of a :class:`ClassificationDataset`.
        images: How many.
        seed: Of the choice.

    Raises:
        ValueError: More images than there are, or fewer than classes.
    """

    def __init__(self, dataset: Mapping, images: int, seed: int = 0):
        whole = DATASETS.build(dataset)
        if not 1 <= images <= len(whole):
            raise ValueError(f'{images} images asked for, but there are {len(whole)}')
        everything = np.arange(len(whole))
        kept = everything if images == len(whole) else _carve(everything, whole.labels, images, seed)[1]
        self.part = whole.get_subset(kept)
        self.metainfo = whole.metainfo

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> dict:
        return self.part[index]
