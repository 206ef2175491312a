"""What ENAS's macro networks are made of: a genotype's layers, and their operations.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.3; what the paper leaves open is as in the authors' code.

Layers are numbered from 1, and 0 is the stem. The genotype's value is ``dict(layers=[...])`` with a dict for each
layer: ``op``, its operation, which reads the layer before, and ``skips``, the numbers of the earlier ones whose outputs
are joined to that of the operation.
"""

from typing import Any, Mapping, Sequence

from torch import nn

from nasdet.models.layers.cells.convolutions import conv_norm, separable_conv_norm
from nasdet.models.layers.cells.description import is_index
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.pooling import pooling

MACRO_OPS = ('conv3', 'sep3', 'conv5', 'sep5', 'avg3', 'max3')
FEWEST_LAYERS = 3


def check_macro_genotype(genotype: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping describes a macro network."""
    if not isinstance(genotype, Mapping) or set(genotype) != {'layers'}:
        raise ValueError(f'a macro genotype has the key layers, not {genotype!r}')
    layers = genotype['layers']
    if not isinstance(layers, Sequence) or len(layers) < FEWEST_LAYERS:
        raise ValueError(f'a macro genotype has at least {FEWEST_LAYERS} layers, not {layers!r}')
    for number, layer in enumerate(layers, start=1):
        _check_layer(number, layer)


def _check_layer(number: int, layer: Any) -> None:
    if not isinstance(layer, Mapping) or set(layer) != {'op', 'skips'}:
        raise ValueError(f'layer {number} has the keys op and skips, not {layer!r}')
    if layer['op'] not in MACRO_OPS:
        raise ValueError(f'op of layer {number} is one of {", ".join(MACRO_OPS)}, not {layer["op"]!r}')
    skips = layer['skips']
    if not isinstance(skips, (list, tuple)):
        raise ValueError(f'skips of layer {number} are a list, not {skips!r}')
    if not all(is_index(earlier, number - 1) for earlier in skips) or list(skips) != sorted(set(skips)):
        known = f'0 to {number - 2}, ascending' if number > 1 else 'none'
        raise ValueError(f'skips of layer {number} are some of {known} (the layer before is what it reads), not '
                         f'{list(skips)}')


def halved_after(num_layers: int) -> tuple[int, int]:
    """Return the numbers of the two layers after which the resolution is halved."""
    return num_layers // 3, 2 * (num_layers // 3)


def still_read(layers: Sequence[Mapping], number: int) -> set[int]:
    """Return the layers up to ``number`` whose outputs a later one reads, or the classifier."""
    later = {skip for layer in layers[number:] for skip in layer['skips'] if skip <= number}
    return later | {number}


def macro_operation(op: str, width: int, dialect: Dialect, separable: bool = True) -> nn.Module:
    """Return an operation that keeps the width, without a ReLU: a convolution and its normalisation, or a pooling.

    Args:
        op: One of ``MACRO_OPS``.
        width: Channels read and made.
        dialect: Its normalisation.
        separable: Whether ``sep3`` and ``sep5`` are a depthwise and a 1x1 convolution, or full ones.
    """
    kind, kernel = op[:-1], int(op[-1])
    if kind in ('avg', 'max'):
        return pooling(kind, kernel, 1, dialect.padding)
    make = separable_conv_norm if kind == 'sep' and separable else conv_norm
    return make(width, width, kernel, dialect)
