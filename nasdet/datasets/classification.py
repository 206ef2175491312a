"""Classification data: torchvision's sets, scikit-learn's digits and arrays, split into train, val and test."""

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import numpy as np
import torch
from mmdet.registry import DATASETS
from sklearn.datasets import load_digits
from torchvision import datasets
from torchvision.transforms.v2 import functional

from nasdet.datasets.classification_splits import ClassificationDataset, Size, check_split, indices_of
from nasdet.datasets.contents import hash_file, hash_folder


@DATASETS.register_module()
class HandwrittenDigits(ClassificationDataset):
    """scikit-learn's 1,797 handwritten digits (8 x 8 pixels, 10 classes), enlarged; nothing is downloaded.

    Args:
        split: ``'train'``, ``'val'``, ``'trainval'`` (both) or ``'test'``.
        size: Side of the enlarged images in pixels.
        val_size: As :func:`~nasdet.datasets.classification_splits.split_indices` takes it, and so the sizes below.
        test_size: See there.
        train_size: See there.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    def __init__(self, split: str, size: int = 32, val_size: Size = 297, test_size: Size = 300,
                 train_size: Optional[Size] = None, seed: int = 0, transforms: Sequence[dict] = ()):
        digits = load_digits()
        grey = torch.from_numpy(digits.images).float().unsqueeze(1) * (255 / 16)
        large = functional.resize(grey, [size, size], antialias=False).round().to(torch.uint8)
        images = large.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
        indices = indices_of(split, digits.target, val_size, test_size, seed, train_size)
        samples = list(zip(images, digits.target, strict=True))
        super().__init__(samples, digits.target, list('0123456789'), indices, transforms)


@DATASETS.register_module()
class CIFAR(ClassificationDataset):
    """torchvision's CIFAR-10 or CIFAR-100; val is carved out of the 50,000 training images.

    Args:
        root: Folder of the data.
        split: ``'train'``, ``'val'``, ``'trainval'`` (both) or ``'test'``.
        num_classes: 10 or 100.
        download: Whether torchvision may download what is not in ``root``.
        val_size: As :func:`~nasdet.datasets.classification_splits.split_indices` takes it, and so the sizes below.
        train_size: See there.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    paths = ('root',)

    def __init__(self, root: str, split: str, num_classes: int = 10, download: bool = False, val_size: Size = 5000,
                 train_size: Optional[Size] = None, seed: int = 0, transforms: Sequence[dict] = ()):
        check_split(split)
        kinds = {10: datasets.CIFAR10, 100: datasets.CIFAR100}
        if num_classes not in kinds:
            raise ValueError(f'CIFAR has 10 or 100 classes, not {num_classes}')
        samples = kinds[num_classes](root, train=split != 'test', download=download)
        indices = _with_own_test(split, samples.targets, val_size, seed, train_size)
        super().__init__(samples, samples.targets, samples.classes, indices, transforms)

    @classmethod
    def contents(cls, cfg: Mapping) -> dict[str, Any]:
        """Return a config without its place: torchvision compares the files with their checksums."""
        return {name: value for name, value in cfg.items() if name not in ('root', 'download')}


@DATASETS.register_module()
class ImageFolder(ClassificationDataset):
    """Folders of images, one a class, as torchvision reads them; ImageNet's layout.

    Args:
        root: Folder with a folder a class.
        split: ``'train'``, ``'val'``, ``'trainval'`` (both) or ``'test'``.
        test_root: The same for the test images (ImageNet: its val folder); None carves test out of ``root``.
        val_size: As :func:`~nasdet.datasets.classification_splits.split_indices` takes it, and so the sizes below.
        test_size: See there; not used where there is a ``test_root``.
        train_size: See there.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    paths = ('root', 'test_root')

    def __init__(self, root: str, split: str, test_root: Optional[str] = None, val_size: Size = 0.1,
                 test_size: Size = 0.1, train_size: Optional[Size] = None, seed: int = 0,
                 transforms: Sequence[dict] = ()):
        check_split(split)
        own_test = test_root is not None and split == 'test'
        samples = datasets.ImageFolder(test_root if own_test else root)
        if own_test:
            _check_apart(Path(test_root), Path(root))
            _check_classes(samples.classes, datasets.folder.find_classes(root)[0], test_root)
        if test_root is not None:
            indices = _with_own_test(split, samples.targets, val_size, seed, train_size)
        else:
            indices = indices_of(split, samples.targets, val_size, test_size, seed, train_size)
        super().__init__(samples, samples.targets, samples.classes, indices, transforms)

    @classmethod
    def contents(cls, cfg: Mapping) -> dict[str, Any]:
        """Return a config with the names and sizes of its images, hashed, in the place of their folder."""
        test_root = cfg.get('test_root')
        read = test_root if test_root is not None and cfg['split'] == 'test' else cfg['root']
        return {**cfg, 'root': hash_folder(read), 'test_root': test_root is not None}

    def files(self) -> list[Path]:
        """Return the pictures."""
        return [Path(self.samples.samples[index][0]) for index in self.indices]


@DATASETS.register_module()
class NpzImages(ClassificationDataset):
    """Images in ``.npz`` files with the arrays ``x`` (N, H, W, 3) of uint8 and ``y`` (N,) of integers.

    Args:
        train_file: File of which train and val are made; its ``class_names``, where present, name the classes.
        test_file: File of the test images.
        split: ``'train'``, ``'val'``, ``'trainval'`` (both) or ``'test'``.
        val_size: As :func:`~nasdet.datasets.classification_splits.split_indices` takes it, and so the sizes below.
        train_size: See there.
        seed: Of the split.
        transforms: As :class:`ClassificationDataset` takes them.
    """

    paths = ('train_file', 'test_file')

    def __init__(self, train_file: str, test_file: str, split: str, val_size: Size = 0.1,
                 train_size: Optional[Size] = None, seed: int = 0, transforms: Sequence[dict] = ()):
        check_split(split)
        with np.load(train_file) as arrays:
            classes = [str(name) for name in arrays.get('class_names', np.unique(arrays['y']))]
        with np.load(test_file if split == 'test' else train_file) as arrays:
            images, labels = arrays['x'], arrays['y']
            own_classes = [str(name) for name in arrays.get('class_names', classes)]
        if split == 'test' and hash_file(test_file) == hash_file(train_file):
            raise ValueError(f'{test_file} is the same as the training images, {train_file}: the test would be of what '
                             f'was trained on')
        _check_classes(own_classes, classes, test_file)
        if labels.max() >= len(classes):
            raise ValueError(f'{test_file} has label {labels.max()}, and the training images {len(classes)} classes')
        indices = _with_own_test(split, labels, val_size, seed, train_size)
        super().__init__(list(zip(images, labels, strict=True)), labels, classes, indices, transforms)

    @classmethod
    def contents(cls, cfg: Mapping) -> dict[str, Any]:
        """Return a config with the hash of the file that it reads in the place of both."""
        plain = {name: value for name, value in cfg.items() if name not in cls.paths}
        return {**plain, 'file': hash_file(cfg['test_file' if cfg['split'] == 'test' else 'train_file'])}


def _check_apart(test: Path, train: Path) -> None:
    """Refuse test images that are training images."""
    test, train = test.resolve(), train.resolve()
    if test == train or test in train.parents or train in test.parents:
        raise ValueError(f'the test images in {test} overlap the training images in {train}: name two folders of which '
                         f'none is inside the other')


def _check_classes(test: Sequence[str], train: Sequence[str], where: str) -> None:
    """Refuse test images whose labels count other classes than those of the training images."""
    if list(test) != list(train):
        differing = sorted(set(test) ^ set(train)) or list(test)
        raise ValueError(f'{where} has not the classes of the training images, or another order of them '
                         f'({", ".join(differing[:5])}): its labels would mean other classes')


def _with_own_test(split: str, labels: Sequence[int], val_size: Size, seed: int,
                   train_size: Optional[Size]) -> np.ndarray:
    """Return the indices of a split of data whose test images are a set of their own."""
    return np.arange(len(labels)) if split == 'test' else indices_of(split, labels, val_size, 0, seed, train_size)
