"""The DetNAS backbone of any genotype.

Chen, Yang, Zhang, Meng, Xiao, Sun: DetNAS: Backbone Search for Object Detection. NeurIPS 2019, arXiv:1903.10979,
table 1; what the paper leaves open follows the authors' code (github.com/megvii-model/DetNAS).
"""

from typing import Mapping, Sequence, Union

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.choice_blocks import ChoiceBlock, block_shapes
from nasdet.models.layers.choice_genotype import check_choice_genotype
from nasdet.models.layers.freezing import freeze, keep_statistics
from nasdet.models.layers.layout import training_layout


@MODELS.register_module()
class DetNASNet(BaseModule):
    """A stem and stages of choice blocks; stage i (from 0) gives a map of stride 4 * 2 ** i pixels.

    Args:
        genotype: Plain value of a ChoiceBlockSpace genotype, or the name of a published one
            (``'detnas_coco_fpn_300m'``).
        out_indices: The stages whose maps are returned, ascending.
        norm_cfg: Normalisation after each convolution.
        frozen_stages: 0 freezes the stem, i also the first i stages (parameters and batch norm statistics); -1 none.
        norm_eval: Keep all batch norm statistics as they are in training.
        head: Add the ImageNet head; the network then gives logits instead of maps.
        num_classes: Classes of the head.
        dropout: Of the head, as :class:`ImageNetHead` has it.
        init_cfg: How mmengine initialises the weights, after :func:`initialise` has drawn them as the authors do.

    Raises:
        ValueError: The genotype is not one, or there is no such stage.
    """

    def __init__(self, genotype: Union[str, Mapping], out_indices: Sequence[int] = (0, 1, 2, 3),
                 norm_cfg: dict = dict(type='BN'),  # noqa: B006
                 frozen_stages: int = -1, norm_eval: bool = False, head: bool = False, num_classes: int = 1000,
                 dropout: float = 0.2, init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        genotype = genotype_value(genotype)
        check_choice_genotype(genotype)
        stages, shuffle = genotype['stages'], genotype['shuffle']
        widths = [stage['channels'] for stage in stages]
        check_stage_numbers(out_indices, len(stages))
        if frozen_stages not in range(-1, len(stages) + 1):
            raise ValueError(f'frozen_stages={frozen_stages}, but this network has {len(stages)} stages')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        shapes = block_shapes(genotype['stem_channels'], widths, [len(stage['blocks']) for stage in stages])
        self.stem = build_stem(genotype['stem_channels'], norm_cfg)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ChoiceBlock(kind, *shape, shuffle, norm_cfg)
                            for kind, shape in zip(stage['blocks'], stage_shapes, strict=True)))
            for stage, stage_shapes in zip(stages, shapes, strict=True))
        self.head = None
        if head:
            self.head = ImageNetHead(widths[-1], genotype['head_channels'], num_classes, dropout, norm_cfg)
        self._freeze_stages()

    def init_weights(self) -> None:
        """Draw fresh weights, then follow ``init_cfg``."""
        if not self.is_init:
            initialise(self)
        super().init_weights()

    def forward(self, images: Tensor) -> Union[tuple[Tensor, ...], Tensor]:
        """Run the network.

        Args:
            images: (N, 3, H, W), normalised as the genotype's ``input`` says.

        Returns:
            One map (N, channels, H / stride, W / stride), rounded up, for each of ``out_indices``, finest first; with
            the head the logits (N, num_classes).
        """
        x, maps = self.stem(training_layout(images, self.training)), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps) if self.head is None else self.head(x)

    def train(self, mode: bool = True) -> 'DetNASNet':
        """Change the mode, but for what is frozen, and with ``norm_eval`` for batch norm."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            keep_statistics(self)
        return self

    def _freeze_stages(self) -> None:
        freeze([self.stem, *self.stages][:self.frozen_stages + 1])


class ImageNetHead(nn.Module):
    """A 1x1 convolution with bias, normalisation and ReLU; global average pooling, dropout, a linear layer.

    The authors drop whole channels before the pooling, which is the same as dropping pooled features.

    Args:
        in_channels: Channels of the last map.
        channels: Channels of the convolution.
        num_classes: Number of classes.
        dropout: Probability to drop a pooled feature.
        norm_cfg: Normalisation after the convolution.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, dropout: float, norm_cfg: dict):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of a map (N, in_channels, H, W)."""
        pooled = F.relu(self.norm(self.conv(x))).mean(dim=(2, 3))
        return self.fc(self.dropout(pooled))


def build_stem(channels: int, norm_cfg: dict) -> nn.Sequential:
    """Return the 3x3 convolution of stride 2 (with bias), normalisation and ReLU that read the image."""
    convolution = nn.Conv2d(3, channels, 3, stride=2, padding=1)
    return nn.Sequential(convolution, build_norm_layer(norm_cfg, channels)[1], nn.ReLU(inplace=True))


def initialise(network: nn.Module) -> None:
    """Draw the weights of a network as the authors' code does.

    Convolutions from N(0, 1 / input channels of a group), the stem's and the linear layer from N(0, 0.01), the second
    number being the standard deviation; their biases are 0, batch norm starts with weight 1 and bias 1e-4.
    """
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 1e-4)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            small = isinstance(module, nn.Linear) or name.startswith('stem.')
            nn.init.normal_(module.weight, std=0.01 if small else 1 / module.weight.shape[1])
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_stage_numbers(out_indices: Sequence[int], number: int) -> None:
    """Refuse ``out_indices`` that are not ascending numbers of stages, counted from 0; ValueError."""
    if not out_indices or list(out_indices) != [index for index in range(number) if index in out_indices]:
        raise ValueError(f'out_indices={tuple(out_indices)}, but this network has the stages 0 to {number - 1}: name '
                         f'some of them, ascending')
