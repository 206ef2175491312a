"""Layers of which a part can be used: the first channels, and the middle of the kernel.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142.

How many channels a layer reads is what it is given; how many a convolution makes is its ``width``. The part of a weight
is copied together once in each forward pass (a training step has one for each child), because convolutions run on
contiguous weights; gradients flow back into the part.
"""

from typing import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from nasdet.models.layers.mbconv import HEAD_EXPANSION, BlockShape, MBConv, MBConvHead, shortcut_convolution


def part_of(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the view of a weight that a smaller layer has.

    Args:
        weight: Channels in the first two dimensions, a kernel in the others.
        shape: Of the smaller layer's weight: its channels are the first ones, its kernel the middle of this one.
    """
    for dimension, size in enumerate(shape):
        spare = weight.shape[dimension] - size
        if spare:
            weight = weight.narrow(dimension, spare // 2 if dimension > 1 else 0, size)
    return weight


class ElasticConv2d(nn.Conv2d):
    """A convolution with fewer channels and a smaller kernel than it has weights for, padded to keep the map's size.

    Either it is depthwise, and makes the channels that it is given, or it has one group.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.width = self.out_channels
        self.kernel = self.kernel_size[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, H / stride, W / stride) of a map (N, C, H, W); width is C where it is depthwise."""
        channels = x.shape[1]
        depthwise = self.groups > 1
        width, inputs = (channels, 1) if depthwise else (self.width, channels)
        weight = part_of(self.weight, (width, inputs, self.kernel, self.kernel)).contiguous()
        bias = None if self.bias is None else self.bias[:width]
        return F.conv2d(x, weight, bias, self.stride, self.kernel // 2, groups=channels if depthwise else 1)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of as many channels as it is given.

    One set of running statistics would belong to no child, so there are none: with the momentum of 0 that the supernet
    gives it, training leaves them as they are. They are measured for a child before it is used
    (:func:`nasdet.training.recalibrated`, which raises the momentum for that).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) by its own statistics in training, by the measured ones otherwise."""
        channels = x.shape[1]
        if self.training and self.momentum > 0:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(x, self.running_mean[:channels], self.running_var[:channels], self.weight[:channels],
                            self.bias[:channels], self.training, self.momentum, self.eps)


class ElasticLinear(nn.Linear):
    """A linear layer that reads as many features as it is given."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_features) of features (N, C)."""
        return F.linear(x, part_of(self.weight, (self.out_features, x.shape[1])).contiguous(), self.bias)


ELASTIC_CONV = dict(type=ElasticConv2d)


def elastic_norm(norm_cfg: Mapping) -> dict:
    """Return the config of elastic batch norm in place of plain one; ValueError for any other normalisation."""
    if norm_cfg.get('type') != 'BN':
        raise ValueError(f'a supernet of elastic width has batch norm (BN), not {norm_cfg.get("type")}: its children '
                         f'share the affine weights of their first channels, and are normalised each by its own')
    return {**norm_cfg, 'type': ElasticBatchNorm2d, 'momentum': 0.0}


class ElasticMBConv(MBConv):
    """A block whose sizes can be changed.

    Args:
        largest: Its largest sizes.
        semantics: One of ``SEMANTICS``.
        norm_cfg: Config of batch norm.
        same_width: Whether every child has as many channels before the block as after it.
    """

    def __init__(self, largest: BlockShape, semantics: str, norm_cfg: Mapping, same_width: bool):
        super().__init__(largest, semantics, elastic_norm(norm_cfg), ELASTIC_CONV)
        self.same_width = same_width
        if semantics == 'attentivenas' and not same_width and self.shortcut is None:
            self.shortcut = shortcut_convolution(largest, ELASTIC_CONV)

    @property
    def always_has_shortcut(self) -> bool:
        """Whether in every child something passes the convolutions by."""
        return self.semantics == 'attentivenas' or (self.same_width and self.shape.stride == 1)

    def set_shape(self, shape: BlockShape) -> None:
        """Use a part of the block.

        Args:
            shape: No size larger than the block's own, and the same stride.
        """
        self.shape = shape
        if self.expand is not None:
            self.expand.conv.width = shape.expanded
        self.depthwise.conv.kernel = shape.kernel
        if self.se is not None:
            self.se.reduce.width, self.se.expand.width = shape.squeezed, shape.expanded
        self.project.conv.width = shape.out_channels
        if self.shortcut is not None:
            self.shortcut.width = shape.out_channels


class ElasticMBConvHead(MBConvHead):
    """A head whose channels can be changed; arguments as of :class:`MBConvHead`, the largest."""

    def __init__(self, in_channels: int, channels: int, num_classes: int, dropout: float, semantics: str,
                 norm_cfg: Mapping):
        super().__init__(in_channels, channels, num_classes, dropout, semantics, elastic_norm(norm_cfg), ELASTIC_CONV)
        self.fc = ElasticLinear(channels, num_classes)

    def set_widths(self, in_channels: int, channels: int) -> None:
        """Use a part of the head.

        Args:
            in_channels: Channels of the last map.
            channels: What the linear layer reads.
        """
        if self.mix is None:
            self.conv.conv.width = channels
        else:
            self.conv.conv.width, self.mix.width = HEAD_EXPANSION * in_channels, channels
