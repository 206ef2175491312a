"""The operations of the cells, by name.

Layers as in the authors' code of the methods: Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for
Scalable Image Recognition. CVPR 2018, arXiv:1707.07012, appendix A; Real, Aggarwal, Huang, Le: Regularized Evolution
for Image Classifier Architecture Search. AAAI 2019, arXiv:1802.01548; Liu, Simonyan, Yang: DARTS: Differentiable
Architecture Search. ICLR 2019, arXiv:1806.09055; Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via
Parameter Sharing. ICML 2018, arXiv:1802.03268.
"""

import math
from collections import OrderedDict
from functools import partial
from typing import Callable

from torch import Tensor, nn

from nasdet.models.layers.cells.convolutions import FactorizedReduction, conv, conv_norm, norm, separable_conv_norm
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.pooling import pooling


class Operation(nn.Sequential):
    """Named layers in order, none of them for an identity.

    Most operations begin with a ReLU. It is not among the layers: whoever applies several operations to one state takes
    its ReLU once, and gives it to those that want it.

    Args:
        wants_relu: Whether the input has to be a state after its ReLU.
        **layers: The layers under their names.
    """

    def __init__(self, wants_relu: bool, **layers: nn.Module):
        super().__init__(OrderedDict(layers))
        self.wants_relu = wants_relu
        self.has_weights = len(self.state_dict()) > 0


class Zero(nn.Module):
    """Zeros as large as the map, or as its half.

    Args:
        channels: Channels made.
        stride: 1 or 2.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros (N, channels, ceil(H / stride), ceil(W / stride)) for (N, C, H, W)."""
        rows, columns = (math.ceil(size / self.stride) for size in x.shape[-2:])
        return x.new_zeros(x.shape[0], self.channels, rows, columns)


def build_operation(name: str, in_channels: int, width: int, stride: int, dialect: Dialect) -> Operation:
    """Build an operation of a cell.

    Args:
        name: A key of ``OPERATIONS``.
        in_channels: Channels of the state that it reads.
        width: Channels that it makes: those of the cell.
        stride: 2 where a reduction cell reads one of its inputs, else 1.
        dialect: Variants of its layers.
    """
    return OPERATIONS[name](in_channels, width, stride, dialect)


def drops_path(name: str, stride: int, dialect: Dialect) -> bool:
    """Return whether drop-path applies to an operation: to all but ``id``.

    DARTS leaves out identities only, so it drops what stands for ``id`` at stride 2; the other codes do not.
    """
    return name != 'id' or (stride == 2 and dialect.strided_id == 'relu_factorized')


def _identity(in_channels: int, width: int, stride: int, dialect: Dialect) -> Operation:
    if stride == 1 and in_channels == width:
        return Operation(wants_relu=False)
    if stride == 1 or dialect.strided_id == 'relu_conv':
        return Operation(wants_relu=True, **_named(conv_norm(in_channels, width, 1, dialect, stride)))
    wants_relu = dialect.strided_id == 'relu_factorized'
    return Operation(wants_relu, reduction=FactorizedReduction(in_channels, width, dialect))


def _none(in_channels: int, width: int, stride: int, dialect: Dialect) -> Operation:
    return Operation(wants_relu=False, zero=Zero(width, stride))


def _separable(in_channels: int, width: int, stride: int, dialect: Dialect, kernel: int,
               dilation: int = 1) -> Operation:
    first = separable_conv_norm(in_channels, width, kernel, dialect, stride, dilation)
    second = separable_conv_norm(width, width, kernel, dialect, dilation=dilation)
    return Operation(wants_relu=True, first=first, relu2=nn.ReLU(inplace=True), second=second)


def _dilated(in_channels: int, width: int, stride: int, dialect: Dialect, kernel: int) -> Operation:
    """Dilation 2; separable, once, in plain convolutions, and full in bottlenecks."""
    if dialect.convs == 'bottleneck':
        return _convolution(in_channels, width, stride, dialect, kernels=(kernel,), dilation=2)
    return Operation(wants_relu=True,
                     first=separable_conv_norm(in_channels, width, kernel, dialect, stride, dilation=2))


def _pool(in_channels: int, width: int, stride: int, dialect: Dialect, kind: str, kernel: int) -> Operation:
    layers = dict(pool=pooling(kind, kernel, stride, dialect.padding))
    if dialect.pool_norm:
        layers.update(pool_norm=norm(in_channels, dialect))
    if in_channels != width:
        layers.update(_named(conv_norm(in_channels, width, 1, dialect)))
    return Operation(wants_relu=False, **layers)


def _conv1(in_channels: int, width: int, stride: int, dialect: Dialect) -> Operation:
    return Operation(wants_relu=True, **_named(conv_norm(in_channels, width, 1, dialect, stride)))


def _convolution(in_channels: int, width: int, stride: int, dialect: Dialect, kernels: tuple, dilation: int = 1,
                 share: tuple[int, int] = (1, 4)) -> Operation:
    """Full convolutions in a row; in bottlenecks with ``share`` of the width, if that leaves a channel."""
    steps = [(kernel, _stride_along(kernel, stride)) for kernel in kernels]
    inner = width * share[0] // share[1]
    if dialect.convs == 'plain' or inner < 1:
        channels = [in_channels] + [width] * len(steps)
        layers = {f'conv{i}': conv(channels[i], width, kernel, dialect, step, dilation)
                  for i, (kernel, step) in enumerate(steps)}
        return Operation(wants_relu=True, **layers, norm=norm(width, dialect))
    layers = dict(squeeze=conv_norm(in_channels, inner, 1, dialect))
    for i, (kernel, step) in enumerate(steps):
        layers[f'relu{i}'] = nn.ReLU(inplace=True)
        layers[f'conv{i}'] = conv_norm(inner, inner, kernel, dialect, step, dilation)
    return Operation(wants_relu=True, **layers, relu=nn.ReLU(inplace=True), expand=conv_norm(inner, width, 1, dialect))


def _stride_along(kernel, stride: int):
    """Return the stride of a convolution: a 1xk one strides columns, a kx1 one rows."""
    if isinstance(kernel, int):
        return stride
    return tuple(stride if side > 1 else 1 for side in kernel)


def _named(layers: nn.Sequential) -> dict[str, nn.Module]:
    return dict(layers.named_children())


OPERATIONS: dict[str, Callable[[int, int, int, Dialect], Operation]] = dict(
    id=_identity,
    none=_none,
    sep3=partial(_separable, kernel=3),
    sep5=partial(_separable, kernel=5),
    sep7=partial(_separable, kernel=7),
    dil3=partial(_dilated, kernel=3),
    dil5=partial(_dilated, kernel=5),
    dil2sep5=partial(_separable, kernel=5, dilation=2),
    avg3=partial(_pool, kind='avg', kernel=3),
    max2=partial(_pool, kind='max', kernel=2),
    max3=partial(_pool, kind='max', kernel=3),
    max5=partial(_pool, kind='max', kernel=5),
    max7=partial(_pool, kind='max', kernel=7),
    conv1=_conv1,
    conv3=partial(_convolution, kernels=(3,)),
    conv13_31=partial(_convolution, kernels=((1, 3), (3, 1)), share=(3, 8)),
    conv17_71=partial(_convolution, kernels=((1, 7), (7, 1))),
)
