"""A network of MBConv blocks of any genotype: EfficientNet-B0, the AttentiveNAS family, every child of BigNAS.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142.
"""

from typing import Mapping, Optional, Sequence, Union

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.freezing import freeze, keep_statistics
from nasdet.models.layers.layout import training_layout
from nasdet.models.layers.mbconv import SWISH, MBConv, MBConvHead
from nasdet.models.layers.mbconv_genotype import (
    STEM_STRIDE,
    block_shapes_of,
    check_mbconv_genotype,
    last_of_each_stride,
)

FINEST_STRIDE = 4       # of the maps that detectors read where nothing else is said


@MODELS.register_module()
class MBConvNet(BaseModule):
    """A stem of stride 2 and stages of MBConv blocks.

    With ``head=True`` it is a classifier, which resizes images to the genotype's resolution. As a backbone it takes
    images as they are, whatever the genotype's resolution, and has no stages after the last map asked for.

    Args:
        genotype: Plain value of an ElasticSpace genotype, or the name of a published one (``'attentivenas_a0'``,
            ``'efficientnet_b0'``).
        out_indices: The stages whose maps are returned, ascending; None: the last one of each stride from 4 pixels on.
        norm_cfg: Normalisation after each convolution.
        frozen_stages: 0 freezes the stem, i also the first i stages (parameters and batch norm statistics); -1 none.
        norm_eval: Keep all batch norm statistics as they are in training.
        head: Add the classifier's head; the network then gives logits instead of maps.
        num_classes: Classes of the head.
        dropout: Of the head, as :class:`MBConvHead` has it.
        drop_path: Probability that a block is left out for an image in training, where a shortcut passes it by
            unchanged; it grows from 0 in proportion to the number of blocks before, and in AttentiveNAS's networks only
            the blocks of the last two stages have it.
        zero_init_residual: Let blocks with a shortcut start as that shortcut alone (their last batch norm weight is 0).
        init_cfg: How mmengine initialises the weights, after :func:`draw_weights`.

    Raises:
        ValueError: The genotype is not one, or there is no such stage.
    """

    def __init__(self, genotype: Union[str, Mapping], out_indices: Optional[Sequence[int]] = None,
                 norm_cfg: dict = dict(type='BN'),  # noqa: B006
                 frozen_stages: int = -1, norm_eval: bool = False, head: bool = False, num_classes: int = 1000,
                 dropout: float = 0.2, drop_path: float = 0.0, zero_init_residual: bool = True,
                 init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        genotype = genotype_value(genotype)
        check_mbconv_genotype(genotype)
        self.out_indices = map_numbers(out_indices, genotype['stages'])
        self.resolution = genotype['resolution']
        self.norm_eval, self.zero_init_residual = norm_eval, zero_init_residual
        shapes = block_shapes_of(genotype)[:None if head else self.out_indices[-1] + 1]
        if frozen_stages not in range(-1, len(shapes) + 1):
            raise ValueError(f'frozen_stages={frozen_stages}, but this network has {len(shapes)} stages')
        self.frozen_stages = frozen_stages
        semantics = genotype['semantics']
        self.stem = ConvModule(3, genotype['stem_channels'], 3, STEM_STRIDE, 1, norm_cfg=norm_cfg, act_cfg=SWISH)
        self.stages = nn.ModuleList(nn.Sequential(*(MBConv(shape, semantics, norm_cfg) for shape in stage))
                                    for stage in shapes)
        self.head = None
        if head:
            self.head = MBConvHead(genotype['stages'][-1]['channels'], genotype['head_channels'], num_classes, dropout,
                                   semantics, norm_cfg)
        set_drop_path(self.stages, drop_path, semantics)
        self._freeze_stages()

    def init_weights(self) -> None:
        """Draw fresh weights, then follow ``init_cfg``."""
        if not self.is_init:
            draw_weights(self, self.zero_init_residual)
        super().init_weights()

    def forward(self, images: Tensor) -> Union[tuple[Tensor, ...], Tensor]:
        """Run the network.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            One map (N, channels, H / stride, W / stride), rounded up, for each of ``out_indices``, finest first; with
            the head the logits (N, num_classes).
        """
        if self.head is not None:
            images = resize(images, self.resolution)
        x, maps = self.stem(training_layout(images, self.training)), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps) if self.head is None else self.head(x)

    def train(self, mode: bool = True) -> 'MBConvNet':
        """Change the mode, but for what is frozen, and with ``norm_eval`` for batch norm."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            keep_statistics(self)
        return self

    def _freeze_stages(self) -> None:
        freeze([self.stem, *self.stages][:self.frozen_stages + 1])


def map_numbers(out_indices: Optional[Sequence[int]], stages: Sequence[Mapping]) -> tuple[int, ...]:
    """Return the stages whose maps a network gives.

    Args:
        out_indices: As asked for; None: the last stage of each stride from 4 pixels on.
        stages: Of a genotype, or of choices.

    Raises:
        ValueError: They are not ascending numbers of stages, counted from 0.
    """
    if out_indices is None:
        return last_of_each_stride(stages, FINEST_STRIDE) or (len(stages) - 1,)
    if not out_indices or list(out_indices) != [index for index in range(len(stages)) if index in out_indices]:
        raise ValueError(f'out_indices={tuple(out_indices)}, but this network has the stages 0 to {len(stages) - 1}: '
                         f'name some of them, ascending')
    return tuple(out_indices)


def resize(images: Tensor, side: Optional[int]) -> Tensor:
    """Return images (N, 3, side, side), resized as AttentiveNAS's code does; None leaves them as they are."""
    if side is None or tuple(images.shape[2:]) == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode='bicubic')


def set_drop_path(stages: Sequence[Sequence[MBConv]], probability: float, semantics: str) -> None:
    """Give each block the probability to be left out for an image in training.

    Args:
        stages: The blocks of each stage.
        probability: What it grows to, in proportion to the number of blocks before.
        semantics: With ``'attentivenas'`` only blocks of the last two stages are left out.
    """
    total, index = sum(len(stage) for stage in stages), 0
    for number, stage in enumerate(stages):
        applies = semantics == 'efficientnet' or number >= len(stages) - 2
        for block in stage:
            block.drop_prob = probability * index / total if applies else 0.0
            index += 1


def draw_weights(network: nn.Module, zero_init_residual: bool) -> None:
    """Draw the weights of a network of MBConv blocks.

    Convolutions as He et al. (2015) have it for what follows them, N(0, 2 / (k * k * outputs of a group)), the linear
    layer from N(0, 0.01), the second number being the standard deviation there; biases are 0.

    Args:
        network: Its convolutions and linear layers; batch norm starts with weight 1 and bias 0.
        zero_init_residual: Whether the last batch norm weight of a block that always has a shortcut is 0 instead
            (Yu et al.: without it large children diverge at the full learning rate).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            outputs = module.weight[:, 0].numel() / module.groups
            nn.init.normal_(module.weight, std=(2 / outputs) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, _BatchNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, (nn.Conv2d, nn.Linear, _BatchNorm)) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if zero_init_residual and isinstance(module, MBConv) and module.always_has_shortcut:
            nn.init.zeros_(module.project.norm.weight)
