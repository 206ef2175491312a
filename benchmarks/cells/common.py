"""The searches of cells that the benchmarks measure, their data, and where they work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from benchmarks import common
from nasdet.config import load_config

TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'cells'
CIFAR10 = common.CONFIGS / '_base_' / 'classification' / 'cells_cifar10.py'
SIDE = 16           # of CIFAR-10's pictures here: a quarter of the work
SUBSET = dict(train_size=1200, val_size=1000, seed=0)       # as many steps as the configs make on the digits


@dataclass(frozen=True)
class Method:
    """A search that is measured.

    Args:
        config: The shipped config on the built-in digits.
        published: The zoo's name of the method's own cells; None where they do not fit the config's skeleton.
    """

    config: Path
    published: Optional[str]


METHODS = {name: Method(common.CONFIGS / config, published) for name, config, published in (
    ('nasnet', 'nasnet/nasnet_digits_ppo.py', 'nasnet_a_6_768_cifar'),
    ('amoebanet', 'amoebanet/amoebanet_digits_evolution.py', 'amoebanet_a_cifar'),
    ('pnas', 'pnas/pnas_digits_progressive.py', 'pnasnet_5_cifar'),
    ('enas_micro', 'enas/enas_micro_digits_search.py', 'enas_micro_cifar'),
    ('enas_macro', 'enas/enas_macro_digits_search.py', None),       # the published network has 24 layers, this one 6
    ('darts', 'darts/darts_digits_second_order.py', 'darts_v2_cifar'),
    ('darts_first_order', 'darts/darts_digits_first_order.py', 'darts_v1_cifar'))}


def subset_options(root: Path) -> dict[str, Any]:
    """Return settings that put a subset of CIFAR-10 in the place of a config's digits, at 16 pixels a side.

    Args:
        root: Folder with ``train.npz`` and ``test.npz``, as :class:`nasdet.datasets.NpzImages` reads them.
    """
    cifar10, root = load_config(str(CIFAR10)), root.absolute()
    smaller = dict(type='Resize', size=[SIDE, SIDE])
    return {
        'search.data': dict(_delete_=True, type='NpzImages', train_file=str(root / 'train.npz'),
                            test_file=str(root / 'test.npz'), **SUBSET),
        'train_dataloader.dataset.transforms': [*cifar10.augmentation, smaller],
        'val_dataloader.dataset.transforms': [smaller],
        'test_dataloader.dataset.transforms': [smaller],
        'model.data_preprocessor': cifar10.data_preprocessor.to_dict(),
        'search.costs.0.input_shape': (3, SIDE, SIDE)}
