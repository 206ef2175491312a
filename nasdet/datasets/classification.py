"""Classification data: torchvision's sets, scikit-learn's digits and arrays, split into train, val and test."""

from typing import Optional, Sequence, Union

import numpy as np
import torch
from mmdet.registry import DATASETS
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import Dataset
from torchvision import datasets
from torchvision.transforms.v2 import functional

from nasdet.datasets.classification_transforms import compose

SPLITS = ('train', 'val', 'test')
Size = Union[int, float]


def split_indices(labels: Sequence[int], val_size: Size, test_size: Size, seed: int) -> dict[str, np.ndarray]:
    """Split samples at random, with the classes in equal shares; equal arguments give equal splits.

    Args:
        labels: The class of each sample.
        val_size: Number of samples of val, or as a float its share of what test leaves.
        test_size: Number of samples of test, or as a float its share of all.
        seed: Of the split.

    Returns:
        Sorted indices of ``'train'``, ``'val'`` and ``'test'``; disjoint, and together every sample.

    Raises:
        ValueError: A size that is negative, or that leaves too few samples for the number of classes.
    """
    labels = np.asarray(labels)
    rest, test = _carve(np.arange(len(labels)), labels, test_size, seed)
    train, val = _carve(rest, labels, val_size, seed)
    return dict(train=train, val=val, test=test)


def _carve(indices: np.ndarray, labels: np.ndarray, size: Size, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if size == 0:
        return indices, indices[:0]
    kept, carved = train_test_split(indices, test_size=size, random_state=seed, stratify=labels[indices])
    return np.sort(kept), np.sort(carved)


class ClassificationDataset(Dataset):
    """One split of a sequence of labelled images.

    An item is ``dict(inputs=uint8 tensor (3, H, W), data_samples=label)``, RGB; normalising is the work of the
    model's data preprocessor. Batches are made by mmengine's ``default_collate``.

    Args:
        samples: ``(image, label)`` pairs, the image a PIL image or an array (H, W, 3) of uint8.
        classes: Names of the classes.
        indices: The samples that belong to this split.
        transforms: Configs of :func:`nasdet.datasets.classification_transforms.compose`.
    """

    def __init__(self, samples: Sequence, classes: Sequence[str], indices: Sequence[int],
                 transforms: Sequence[dict] = ()):
        self.samples = samples
        self.indices = indices
        self.transform = compose(transforms)
        self.metainfo = dict(classes=tuple(classes))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:
        image, label = self.samples[self.indices[index]]
        return dict(inputs=self.transform(image), data_samples=int(label))


@DATASETS.register_module()
class HandwrittenDigits(ClassificationDataset):
    """scikit-learn's 1,797 handwritten digits (8 x 8 pixels, 10 classes), enlarged; nothing is downloaded.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        size: Side of the enlarged images in pixels.
        val_size: As :func:`split_indices` takes it.
        test_size: As :func:`split_indices` takes it.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    def __init__(self, split: str, size: int = 32, val_size: Size = 297, test_size: Size = 300, seed: int = 0,
                 transforms: Sequence[dict] = ()):
        digits = load_digits()
        grey = torch.from_numpy(digits.images).float().unsqueeze(1) * (255 / 16)
        large = functional.resize(grey, [size, size], antialias=False).round().to(torch.uint8)
        images = large.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
        indices = split_indices(digits.target, val_size, test_size, seed)[_known(split)]
        super().__init__(list(zip(images, digits.target, strict=True)), list('0123456789'), indices, transforms)


@DATASETS.register_module()
class CIFAR(ClassificationDataset):
    """torchvision's CIFAR-10 or CIFAR-100; val is carved out of the 50,000 training images.

    Args:
        root: Folder of the data.
        split: ``'train'``, ``'val'`` or ``'test'``.
        num_classes: 10 or 100.
        download: Whether torchvision may download what is not in ``root``.
        val_size: As :func:`split_indices` takes it.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    def __init__(self, root: str, split: str, num_classes: int = 10, download: bool = False, val_size: Size = 5000,
                 seed: int = 0, transforms: Sequence[dict] = ()):
        kinds = {10: datasets.CIFAR10, 100: datasets.CIFAR100}
        if num_classes not in kinds:
            raise ValueError(f'CIFAR has 10 or 100 classes, not {num_classes}')
        samples = kinds[num_classes](root, train=_known(split) != 'test', download=download)
        indices = _with_own_test(samples.targets, split, val_size, seed)
        super().__init__(samples, samples.classes, indices, transforms)


@DATASETS.register_module()
class ImageFolder(ClassificationDataset):
    """Folders of images, one a class, as torchvision reads them; ImageNet's layout.

    Args:
        root: Folder with a folder a class.
        split: ``'train'``, ``'val'`` or ``'test'``.
        test_root: The same for the test images (ImageNet: its val folder); None carves test out of ``root``.
        val_size: As :func:`split_indices` takes it.
        test_size: As :func:`split_indices` takes it; not used where there is a ``test_root``.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    def __init__(self, root: str, split: str, test_root: Optional[str] = None, val_size: Size = 0.1,
                 test_size: Size = 0.1, seed: int = 0, transforms: Sequence[dict] = ()):
        own_test = test_root is not None and _known(split) == 'test'
        samples = datasets.ImageFolder(test_root if own_test else root)
        if own_test:
            _check_classes(samples.classes, datasets.folder.find_classes(root)[0], test_root)
        if test_root is not None:
            indices = _with_own_test(samples.targets, split, val_size, seed)
        else:
            indices = split_indices(samples.targets, val_size, test_size, seed)[_known(split)]
        super().__init__(samples, samples.classes, indices, transforms)


@DATASETS.register_module()
class NpzImages(ClassificationDataset):
    """Images in ``.npz`` files with the arrays ``x`` (N, H, W, 3) of uint8 and ``y`` (N,) of integers.

    Args:
        train_file: File of which train and val are made; its ``class_names``, where present, name the classes.
        test_file: File of the test images.
        split: ``'train'``, ``'val'`` or ``'test'``.
        val_size: As :func:`split_indices` takes it.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    def __init__(self, train_file: str, test_file: str, split: str, val_size: Size = 0.1, seed: int = 0,
                 transforms: Sequence[dict] = ()):
        with np.load(train_file) as arrays:
            classes = [str(name) for name in arrays.get('class_names', np.unique(arrays['y']))]
        with np.load(test_file if _known(split) == 'test' else train_file) as arrays:
            images, labels = arrays['x'], arrays['y']
            own_classes = [str(name) for name in arrays.get('class_names', classes)]
        _check_classes(own_classes, classes, test_file)
        if labels.max() >= len(classes):
            raise ValueError(f'{test_file} has label {labels.max()}, and the training images {len(classes)} classes')
        indices = _with_own_test(labels, split, val_size, seed)
        super().__init__(list(zip(images, labels, strict=True)), classes, indices, transforms)


def _check_classes(test: Sequence[str], train: Sequence[str], where: str) -> None:
    """Refuse test images whose labels count other classes than those of the training images."""
    if list(test) != list(train):
        differing = sorted(set(test) ^ set(train)) or list(test)
        raise ValueError(f'{where} has not the classes of the training images, or another order of them '
                         f'({", ".join(differing[:5])}): its labels would mean other classes')


def _with_own_test(labels: Sequence[int], split: str, val_size: Size, seed: int) -> np.ndarray:
    """Return the indices of a split of data whose test images are a set of their own."""
    if split == 'test':
        return np.arange(len(labels))
    return split_indices(labels, val_size, 0, seed)[split]


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f'split is one of {", ".join(SPLITS)}, not {split!r}')
    return split
