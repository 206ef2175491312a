"""The blocks that DetNAS chooses from: ShuffleNetV2 blocks of three kernel sizes, and one of separable convolutions.

Chen, Yang, Zhang, Meng, Xiao, Sun: DetNAS: Backbone Search for Object Detection. NeurIPS 2019, arXiv:1903.10979,
table 1; what the paper leaves open follows the authors' code (github.com/megvii-model/DetNAS).
"""

from typing import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

KERNELS = dict(shuffle3=3, shuffle5=5, shuffle7=7, xception=3)     # block name -> its kernel size in pixels
SHUFFLES = ('halves', 'even_odd')


class ChoiceBlock(nn.Module):
    """One block: some channels pass by, the others go through the main branch, and both are concatenated.

    At stride 1, half of the channels pass unchanged (:func:`split_channels`) and the branch gives the other half. At
    stride 2, all channels enter both ways: a projection keeps their number, and the branch adds what is missing, so
    the two parts of the output may differ in size (16 + 48 in the first block of the 300M network).

    Args:
        kind: One of ``KERNELS``.
        in_channels: Channels of the input; at stride 1 even, and equal to ``out_channels``.
        out_channels: Channels of the output; at stride 2 more than ``in_channels``.
        stride: 1 or 2.
        shuffle: How stride 1 splits the channels, one of ``SHUFFLES``.
        norm_cfg: Normalisation after each convolution.
    """

    def __init__(self, kind: str, in_channels: int, out_channels: int, stride: int, shuffle: str, norm_cfg: dict):
        super().__init__()
        self.shuffle = shuffle
        width = out_channels // 2
        if stride == 1:
            self.projection = None
            self.branch = _main_branch(kind, in_channels // 2, width, out_channels // 2, stride, norm_cfg)
        else:
            self.projection = nn.Sequential(*_depthwise(in_channels, KERNELS[kind], stride, norm_cfg),
                                            *_pointwise(in_channels, in_channels, norm_cfg))
            self.branch = _main_branch(kind, in_channels, width, out_channels - in_channels, stride, norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H / stride, W / stride), rounded up, of a map (N, in_channels, H, W)."""
        if self.projection is None:
            passed, chosen = split_channels(x, self.shuffle)
        else:
            passed, chosen = self.projection(x), x
        return torch.cat([passed, self.branch(chosen)], dim=1)


def split_channels(x: Tensor, shuffle: str) -> tuple[Tensor, Tensor]:
    """Shuffle the channels of a map and split them in two.

    The authors' code has both ways, and weights trained with one are of no use with the other.

    Args:
        x: (N, C, H, W), C even.
        shuffle: ``'halves'``: reorder to 0, C/2, 1, C/2 + 1, ..., then take the first and the second half.
            ``'even_odd'``: take channels 0, 2, 4, ... and channels 1, 3, 5, ...

    Returns:
        What passes by and what the branch transforms, each (N, C/2, H, W).
    """
    if shuffle == 'halves':
        passed, chosen = F.channel_shuffle(x, 2).chunk(2, dim=1)
        return passed, chosen
    return x[:, 0::2], x[:, 1::2]


def block_shapes(stem_channels: int, widths: Sequence[int], depths: Sequence[int]) -> list[list[tuple[int, int, int]]]:
    """Return (in_channels, out_channels, stride) of every block, stage by stage.

    Args:
        stem_channels: Channels before the first stage.
        widths: Channels of each stage.
        depths: Blocks of each stage; the first of them halves the resolution.
    """
    before = [stem_channels, *widths]
    return [[(narrow, wide, 2)] + [(wide, wide, 1)] * (depth - 1)
            for narrow, wide, depth in zip(before, widths, depths, strict=False)]


def _main_branch(kind: str, inputs: int, width: int, outputs: int, stride: int, norm_cfg: dict) -> nn.Sequential:
    layers = _separable if kind == 'xception' else _bottleneck
    return nn.Sequential(*layers(inputs, width, outputs, KERNELS[kind], stride, norm_cfg))


def _bottleneck(inputs: int, width: int, outputs: int, kernel: int, stride: int, norm_cfg: dict) -> Iterator[nn.Module]:
    yield from _pointwise(inputs, width, norm_cfg)
    yield from _depthwise(width, kernel, stride, norm_cfg)
    yield from _pointwise(width, outputs, norm_cfg)


def _separable(inputs: int, width: int, outputs: int, kernel: int, stride: int, norm_cfg: dict) -> Iterator[nn.Module]:
    for narrow, wide, step in ((inputs, width, stride), (width, width, 1), (width, outputs, 1)):
        yield from _depthwise(narrow, kernel, step, norm_cfg)
        yield from _pointwise(narrow, wide, norm_cfg)


def _depthwise(channels: int, kernel: int, stride: int, norm_cfg: dict) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [convolution, build_norm_layer(norm_cfg, channels)[1]]


def _pointwise(inputs: int, outputs: int, norm_cfg: dict) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1, bias=False), build_norm_layer(norm_cfg, outputs)[1], nn.ReLU(inplace=True)]
