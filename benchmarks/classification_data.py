"""The data sets of the benchmarks on classifiers: the built-in digits of a config, or a part of CIFAR-10 instead."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.common import CONFIGS
from nasdet.config import load_config

DATA = ('digits', 'cifar10_subset')
CIFAR10 = CONFIGS / '_base_' / 'classification' / 'cells_cifar10.py'
CIFAR10_SIDE = 32
SUBSET = dict(train_size=1200, val_size=1000, seed=0)       # as many steps as the configs make on the digits


def add_classification_data(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the data set to what a benchmark takes."""
    parser.add_argument('--data', choices=DATA, default=DATA[0])
    parser.add_argument('--root', type=Path, help='folder of train.npz and test.npz, for cifar10_subset')


def data_options(args: argparse.Namespace, side: int) -> dict[str, Any]:
    """Return the settings of a config on the digits that put the command's data set in their place.

    Args:
        args: Of a command with :func:`add_classification_data`. ``root`` has ``train.npz`` and ``test.npz`` as
            :class:`nasdet.datasets.NpzImages` reads them.
        side: Of the images that the config's networks are given, in pixels.
    """
    if args.data == 'digits':
        return {}
    if args.root is None:
        raise SystemExit(f'--data {args.data} needs --root, the folder of train.npz and test.npz')
    cifar10, root = load_config(str(CIFAR10)), args.root.absolute()
    smaller = [] if side == CIFAR10_SIDE else [dict(type='Resize', size=[side, side])]
    return {
        'search.data': dict(_delete_=True, type='NpzImages', train_file=str(root / 'train.npz'),
                            test_file=str(root / 'test.npz'), **SUBSET),
        'train_dataloader.dataset.transforms': [*cifar10.augmentation, *smaller],
        'val_dataloader.dataset.transforms': smaller,
        'test_dataloader.dataset.transforms': smaller,
        'model.data_preprocessor': cifar10.data_preprocessor.to_dict(),
        'search.costs.0.input_shape': (3, side, side)}
