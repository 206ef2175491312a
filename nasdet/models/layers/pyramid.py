"""The inputs of a feature pyramid: projected backbone maps, and coarser levels pooled from the last of them."""

from typing import Optional, Sequence

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from nasdet.models.layers.resampling import pool_top


class PyramidInputs(nn.Module):
    """Brings backbone maps to one width and adds coarser levels on top.

    Args:
        in_channels: Channels of each backbone map, finest first.
        out_channels: Channels of every pyramid level.
        num_outs: Number of pyramid levels.
        start_level: Index of the first backbone map used.
        top: Recipe of the added levels: ``'pool'`` (max pooling) or ``'conv_pool'`` (1x1 convolution and
            normalisation, then max pooling, as in mmdet).
        mode: How an odd side is halved: ``'reference'`` rounds up, ``'mmdet'`` rounds down.
        norm_cfg: Normalisation after each 1x1 convolution; None gives the convolution a bias instead.
        extra_projection: Whether the second map used has a second projection (``extra``).

    Raises:
        ValueError: The levels asked for do not fit the backbone's.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int, start_level: int, top: str,
                 mode: str, norm_cfg: Optional[dict] = None, extra_projection: bool = False):
        super().__init__()
        if not 0 <= start_level < len(in_channels):
            raise ValueError(f'start_level={start_level}, but the backbone gives {len(in_channels)} maps')
        used = in_channels[start_level:]
        if num_outs < len(used):
            raise ValueError(f'num_outs={num_outs}, but {len(used)} backbone maps are used from '
                             f'start_level={start_level}: raise num_outs or start_level, or shorten out_indices of '
                             f'the backbone')
        if extra_projection and len(used) < 2:
            raise ValueError(f'extra_projection projects the second backbone map twice, and from '
                             f'start_level={start_level} only {len(used)} is used')
        self.num_inputs = len(in_channels)
        self.start_level = start_level
        self.mode = mode
        options = dict(kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        self.laterals = nn.ModuleList(ConvModule(channels, out_channels, **options) for channels in used)
        self.extra = ConvModule(used[1], out_channels, **options) if extra_projection else None
        self.tops = nn.ModuleList(
            ConvModule(out_channels, out_channels, **options) if top == 'conv_pool' else nn.Identity()
            for _ in range(num_outs - len(used)))

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the pyramid inputs.

        Args:
            inputs: All maps of the backbone, each (N, C_i, H_i, W_i).

        Returns:
            ``num_outs`` maps (N, C, H, W), finest first.
        """
        if len(inputs) != self.num_inputs:
            raise ValueError(f'the neck was built for {self.num_inputs} backbone maps and was given {len(inputs)}')
        features = [lateral(x) for lateral, x in zip(self.laterals, inputs[self.start_level:], strict=True)]
        for top in self.tops:
            features.append(pool_top(top(features[-1]), self.mode))
        return features

    def project_again(self, inputs: Sequence[Tensor]) -> Optional[Tensor]:
        """Return the second projection (N, C, H, W) of the second backbone map used, or None where there is none.

        Args:
            inputs: All maps of the backbone, each (N, C_i, H_i, W_i).
        """
        return None if self.extra is None else self.extra(inputs[self.start_level + 1])


def merging_conv(channels: int, bias: bool, norm_cfg: Optional[dict], kind: str = 'dense') -> nn.Module:
    """Return what follows a merge: ReLU, convolution, normalisation, and no activation after it.

    Args:
        channels: Of the maps.
        bias: Whether the convolution has one.
        norm_cfg: Normalisation after it.
        kind: ``'dense'``: 3x3; ``'separable'``: 3x3 depthwise without bias, then 1x1.
    """
    if kind == 'dense':
        return ConvModule(channels, channels, 3, padding=1, bias=bias, norm_cfg=norm_cfg, order=('act', 'conv', 'norm'))
    return nn.Sequential(
        ConvModule(channels, channels, 3, padding=1, groups=channels, bias=False, order=('act', 'conv', 'norm')),
        ConvModule(channels, channels, 1, bias=bias, norm_cfg=norm_cfg, act_cfg=None))
