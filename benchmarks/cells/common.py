"""The searches of cells that the benchmarks measure, their data, and where they work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from benchmarks import common

TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'cells'
SIDE = 16           # of the pictures of cifar10_subset here: a quarter of the work


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
