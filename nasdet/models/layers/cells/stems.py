"""What stands before the cells: the stems for small images and for ImageNet."""

from collections import OrderedDict
from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

from nasdet.models.layers.cells.convolutions import conv_norm, norm
from nasdet.models.layers.cells.dialect import Dialect

STEMS = ('cifar', 'nasnet_imagenet', 'darts_imagenet')


class ConvStem(nn.Module):
    """One 3x3 convolution with normalisation and no ReLU.

    Zoph et al., arXiv:1707.07012, appendix A, for both sizes of images.

    Args:
        channels: Channels made.
        stride: 1; or 2, without padding.
        repeat: Whether the map is also the first cell's input from the cell before the previous one.
        dialect: Its normalisation follows.
    """

    def __init__(self, channels: int, stride: int, repeat: bool, dialect: Dialect):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, stride, padding=1 if stride == 1 else 0, bias=False)
        self.norm = norm(channels, dialect)
        self.repeat = repeat
        self.channels = (channels if repeat else None, channels)
        self.strides = (stride, stride)

    def forward(self, images: Tensor) -> tuple[Optional[Tensor], Tensor]:
        """Return the two inputs of the first cell; the first is None without ``repeat``."""
        x = self.norm(self.conv(images))
        return x if self.repeat else None, x


class ThreeConvStem(nn.Module):
    """Three 3x3 convolutions of stride 2: the first cell reads the last two of their maps, at strides 4 and 8.

    Liu, Simonyan, Yang: DARTS, arXiv:1806.09055, the authors' code for ImageNet.

    Args:
        channels: Channels of both maps.
        dialect: Says where the padding goes, and the normalisation.
    """

    def __init__(self, channels: int, dialect: Dialect):
        super().__init__()
        self.stem0 = nn.Sequential(OrderedDict(
            first=conv_norm(3, channels // 2, 3, dialect, stride=2), relu=nn.ReLU(inplace=True),
            second=conv_norm(channels // 2, channels, 3, dialect, stride=2)))
        self.stem1 = conv_norm(channels, channels, 3, dialect, stride=2)
        self.channels = (channels, channels)
        self.strides = (4, 8)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two inputs of the first cell."""
        x = self.stem0(images)
        return x, self.stem1(F.relu(x))


def build_stem(kind: str, channels: Optional[int], width: int, dialect: Dialect) -> nn.Module:
    """Build a stem.

    Args:
        kind: ``'cifar'``: one convolution of stride 1; ``'nasnet_imagenet'``: one of stride 2, after which the network
            puts two reduction cells; ``'darts_imagenet'``: three of stride 2.
        channels: Of its maps; None: as published, 3 x width for CIFAR, 32 for NASNet on ImageNet, width for DARTS.
        width: Of the cells of the first stage.
        dialect: Variants of the layers.
    """
    if kind == 'darts_imagenet':
        return ThreeConvStem(channels or width, dialect)
    published, stride = (3 * width, 1) if kind == 'cifar' else (32, 2)
    return ConvStem(channels or published, stride, dialect.inputs != 'nasnet', dialect)
