"""Convolutions with their normalisation, and the factorized reduction."""

from collections import OrderedDict
from typing import Union

import torch
import torch.nn.functional as F
from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn

from nasdet.models.layers.cells.dialect import Dialect

Size = Union[int, tuple[int, int]]


def norm(channels: int, dialect: Dialect) -> nn.Module:
    """Return the dialect's normalisation of ``channels`` channels."""
    return build_norm_layer(dict(dialect.norm_cfg), channels)[1]


def conv(in_channels: int, out_channels: int, kernel: Size, dialect: Dialect, stride: Size = 1, dilation: int = 1,
         groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias whose output has ceil(size / stride) rows and columns.

    Args:
        in_channels: Channels read.
        out_channels: Channels made.
        kernel: Odd side of the kernel, or (rows, columns).
        dialect: Says where the padding goes.
        stride: Of rows and columns, or (rows, columns).
        dilation: Distance between the kernel's elements.
        groups: Groups of channels.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    # at stride 1 the paddings agree, as the kernels are odd
    kind = 'Conv2d' if dialect.padding == 'symmetric' or stride in (1, (1, 1)) else 'Conv2dAdaptivePadding'
    padding = (dilation * (rows // 2), dilation * (columns // 2))
    return build_conv_layer(dict(type=kind), in_channels, out_channels, kernel, stride=stride, padding=padding,
                            dilation=dilation, groups=groups, bias=False)


def conv_norm(in_channels: int, out_channels: int, kernel: Size, dialect: Dialect, stride: Size = 1,
              dilation: int = 1) -> nn.Sequential:
    """Return a convolution and its normalisation; arguments as :func:`conv`."""
    layers = dict(conv=conv(in_channels, out_channels, kernel, dialect, stride, dilation))
    return nn.Sequential(OrderedDict(layers, norm=norm(out_channels, dialect)))


def separable_conv_norm(in_channels: int, out_channels: int, kernel: int, dialect: Dialect, stride: int = 1,
                        dilation: int = 1) -> nn.Sequential:
    """Return a depthwise convolution, a 1x1 convolution with nothing between, and one normalisation."""
    depthwise = conv(in_channels, in_channels, kernel, dialect, stride, dilation, groups=in_channels)
    pointwise = conv(in_channels, out_channels, 1, dialect)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=pointwise, norm=norm(out_channels, dialect)))


class FactorizedReduction(nn.Module):
    """Halves a map by two 1x1 convolutions, the second on the pixels that the first does not see.

    A map of odd size is padded by a row and a column of zeros, so both halves have ceil(size / 2) of them. Where
    ``out_channels`` is odd, the second path has one channel more.

    Args:
        in_channels: Channels read.
        out_channels: Channels made, at least 2.
        dialect: Its normalisation follows.
    """

    def __init__(self, in_channels: int, out_channels: int, dialect: Dialect):
        super().__init__()
        if out_channels < 2:
            raise ValueError(f'a factorized reduction makes at least 2 channels, not {out_channels}: take a wider '
                             f'network')
        self.path1 = nn.Conv2d(in_channels, out_channels // 2, 1, bias=False)
        self.path2 = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, bias=False)
        self.norm = norm(out_channels, dialect)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce (N, C, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2)); no ReLU inside."""
        rows, columns = x.shape[-2:]
        shifted = F.pad(x[..., 1::2, 1::2], (0, columns % 2, 0, rows % 2))
        return self.norm(torch.cat([self.path1(x[..., ::2, ::2]), self.path2(shifted)], dim=1))
