"""Mobile inverted bottleneck blocks (MBConv), as EfficientNet has them and as AttentiveNAS has them.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019, arXiv:1905.11946, table 1,
the space of BigNAS (Yu et al., ECCV 2020, arXiv:2003.11142) being around its B0; Wang, Li, Gong, Chandra: AttentiveNAS:
Improving Neural Architecture Search via Attentive Sampling. CVPR 2021, arXiv:2011.09011, table 1, and what it leaves
open as in the authors' code (github.com/facebookresearch/AttentiveNAS).
"""

from dataclasses import dataclass
from functools import partial
from typing import Mapping, Optional

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_conv_layer
from mmcv.cnn.bricks.drop import drop_path
from torch import Tensor, nn

SEMANTICS = ('efficientnet', 'attentivenas')
SWISH = dict(type='SiLU')
HEAD_EXPANSION = 6      # of AttentiveNAS's head, before the pooling


@dataclass(frozen=True)
class BlockShape:
    """The sizes of a block.

    Args:
        in_channels: Channels of its input.
        expanded: Channels of the depthwise convolution; where they are the input's, no convolution expands them.
        squeezed: Channels in the middle of the squeeze-and-excitation; 0: there is none.
        out_channels: Channels of its output.
        kernel: Of the depthwise convolution, pixels.
        stride: Of the depthwise convolution, 1 or 2.
    """

    in_channels: int
    expanded: int
    squeezed: int
    out_channels: int
    kernel: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether output and input have one shape."""
        return self.stride == 1 and self.in_channels == self.out_channels


class MBConv(nn.Module):
    """1x1 convolution that expands, depthwise convolution, squeeze-and-excitation, 1x1 convolution, and a shortcut.

    ``'efficientnet'`` passes the input by where output and input have one shape, and has no shortcut elsewhere.
    ``'attentivenas'`` always has one: average pooling where the stride is 2, then a 1x1 convolution without
    normalisation where the number of channels changes.

    Args:
        shape: Its sizes.
        semantics: One of ``SEMANTICS``.
        norm_cfg: Normalisation after each convolution.
        conv_cfg: The kind of convolution; None: torch's.
    """

    def __init__(self, shape: BlockShape, semantics: str, norm_cfg: Mapping, conv_cfg: Optional[Mapping] = None):
        super().__init__()
        layer = partial(ConvModule, conv_cfg=conv_cfg, norm_cfg=norm_cfg)
        expanded = shape.expanded
        self.shape = shape
        self.semantics = semantics
        self.drop_prob = 0.0        # of all but the shortcut, in training, where output and input have one shape
        self.expand = None if expanded == shape.in_channels else layer(shape.in_channels, expanded, 1, act_cfg=SWISH)
        self.depthwise = layer(expanded, expanded, shape.kernel, shape.stride, shape.kernel // 2, groups=expanded,
                               act_cfg=SWISH)
        self.se = SqueezeExcitation(expanded, shape.squeezed, semantics, conv_cfg) if shape.squeezed else None
        self.project = layer(expanded, shape.out_channels, 1, act_cfg=None)
        self.shortcut = None
        if semantics == 'attentivenas' and shape.in_channels != shape.out_channels:
            self.shortcut = shortcut_convolution(shape, conv_cfg)

    @property
    def always_has_shortcut(self) -> bool:
        """Whether something passes the convolutions by, so that they may start as zero."""
        return self.semantics == 'attentivenas' or self.shape.keeps_shape

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H / stride, W / stride), rounded up, of a map (N, in_channels, H, W)."""
        out = self._transform(x)
        if self.shape.keeps_shape:
            return x + drop_path(out, self.drop_prob, self.training)
        return out if self.semantics == 'efficientnet' else self._pass(x) + out

    def _transform(self, x: Tensor) -> Tensor:
        if self.expand is not None:
            x = self.expand(x)
        x = self.depthwise(x)
        if self.se is not None:
            x = self.se(x)
        return self.project(x)

    def _pass(self, x: Tensor) -> Tensor:
        if self.shape.stride == 2:
            x = F.avg_pool2d(x, 2, padding=(x.shape[2] % 2, x.shape[3] % 2))
        return x if self.shape.in_channels == self.shape.out_channels else self.shortcut(x)


def shortcut_convolution(shape: BlockShape, conv_cfg: Optional[Mapping]) -> nn.Conv2d:
    """Return the convolution that gives a block's input the number of channels of its output."""
    return build_conv_layer(conv_cfg, shape.in_channels, shape.out_channels, 1, bias=False)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what they are on average over the map (Hu et al., CVPR 2018).

    Args:
        channels: Of the map.
        squeezed: Channels between the two 1x1 convolutions.
        semantics: ``'efficientnet'``: swish and a sigmoid; ``'attentivenas'``: ReLU and a hard sigmoid.
        conv_cfg: The kind of convolution; None: torch's.
    """

    def __init__(self, channels: int, squeezed: int, semantics: str, conv_cfg: Optional[Mapping] = None):
        super().__init__()
        self.reduce = build_conv_layer(conv_cfg, channels, squeezed, 1)
        self.expand = build_conv_layer(conv_cfg, squeezed, channels, 1)
        smooth = semantics == 'efficientnet'
        self.activate, self.gate = (nn.SiLU(), nn.Sigmoid()) if smooth else (nn.ReLU(), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return a map (N, channels, H, W) with its channels weighed."""
        weights = self.reduce(x.mean(dim=(2, 3), keepdim=True))
        return x * self.gate(self.expand(self.activate(weights)))


class MBConvHead(nn.Module):
    """What makes a classifier of the blocks.

    ``'efficientnet'``: 1x1 convolution, normalisation, swish, global average pooling, dropout, linear layer.
    ``'attentivenas'``: the convolution makes six times as many channels as there were, and after the pooling a second
    one, without bias and normalisation, with swish, makes ``channels`` of them.

    Args:
        in_channels: Channels of the last map.
        channels: What the linear layer reads.
        num_classes: Number of classes K.
        dropout: Probability to drop one of the channels that the linear layer reads.
        semantics: One of ``SEMANTICS``.
        norm_cfg: Normalisation after the first convolution.
        conv_cfg: The kind of convolution; None: torch's.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, dropout: float, semantics: str,
                 norm_cfg: Mapping, conv_cfg: Optional[Mapping] = None):
        super().__init__()
        expanded = channels if semantics == 'efficientnet' else HEAD_EXPANSION * in_channels
        self.conv = ConvModule(in_channels, expanded, 1, conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=SWISH)
        self.mix = None
        if semantics == 'attentivenas':
            self.mix = build_conv_layer(conv_cfg, expanded, channels, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of a map (N, in_channels, H, W)."""
        pooled = self.conv(x).mean(dim=(2, 3), keepdim=True)
        if self.mix is not None:
            pooled = F.silu(self.mix(pooled))
        return self.fc(self.dropout(pooled.flatten(1)))
