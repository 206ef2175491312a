"""The weight-shared network over all DetNAS genotypes of a space.

Chen, Yang, Zhang, Meng, Xiao, Sun: DetNAS: Backbone Search for Object Detection. NeurIPS 2019, arXiv:1903.10979,
section 3.
"""

from typing import Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.backbones.detnas import DetNASNet, ImageNetHead, build_stem, check_stage_numbers, initialise
from nasdet.models.layers.choice_blocks import KERNELS, ChoiceBlock, block_shapes
from nasdet.models.layers.choice_genotype import (
    check_block_options,
    check_choice_genotype,
    check_choices,
    check_count,
    check_widths,
    widths_and_depths,
)
from nasdet.models.layers.layout import training_layout


@MODELS.register_module()
class DetNASSupernet(BaseModule):
    """Holds every choice of every block. Only the path's blocks run; the others get no gradient (None).

    Args:
        stages: For each stage ``channels`` and ``num_blocks``, such as ``dict(channels=64, num_blocks=4)``.
        choices: Names of the blocks to choose from.
        stem_channels: Channels before the first stage.
        head_channels: Channels of the ImageNet head's convolution.
        semantics: Of the blocks, ``'megvii'``.
        shuffle: How blocks split channels, ``'halves'`` or ``'even_odd'``.
        out_indices: The stages whose maps are returned, ascending.
        norm_cfg: Normalisation after each convolution; ``dict(type='SyncBN')`` where training is distributed.
        head: Add the ImageNet head, which all paths share; the network then gives logits instead of maps.
        num_classes: Classes of the head.
        dropout: Of the head.
        init_cfg: How mmengine initialises the weights, after they were drawn as the authors do.

    Raises:
        ValueError: There is no such network.
    """

    def __init__(self, stages: Sequence[Mapping], choices: Sequence[str] = tuple(KERNELS), stem_channels: int = 16,
                 head_channels: int = 1024, semantics: str = 'megvii', shuffle: str = 'halves',
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 norm_cfg: dict = dict(type='BN'),  # noqa: B006
                 head: bool = False, num_classes: int = 1000, dropout: float = 0.2,
                 init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        check_block_options(semantics, shuffle)
        check_choices(choices)
        self.choices = tuple(choices)
        self.widths, self.depths = widths_and_depths(stages)
        check_count('stem_channels', stem_channels)
        check_widths(stem_channels, self.widths)
        check_stage_numbers(out_indices, len(self.widths))
        self.settings = dict(shuffle=shuffle, stem_channels=stem_channels, head_channels=head_channels)
        self.network = dict(out_indices=tuple(out_indices), norm_cfg=norm_cfg, head=head, num_classes=num_classes,
                            dropout=dropout)
        self.path: Optional[list[list[str]]] = None     # the block names of each stage
        self.stem = build_stem(stem_channels, norm_cfg)
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.ModuleDict({kind: ChoiceBlock(kind, *shape, shuffle, norm_cfg) for kind in self.choices})
                          for shape in shapes)
            for shapes in block_shapes(stem_channels, self.widths, self.depths))
        self.head = None
        if head:
            self.head = ImageNetHead(self.widths[-1], head_channels, num_classes, dropout, norm_cfg)

    def init_weights(self) -> None:
        """Draw fresh weights, then follow ``init_cfg``."""
        if not self.is_init:
            initialise(self)
        super().init_weights()

    def set_path(self, value: Mapping) -> None:
        """Choose the genotype that forward() runs.

        Args:
            value: Plain value of a ChoiceBlockSpace genotype.

        Raises:
            ValueError: Not a genotype of this supernet.
        """
        self.path = self._read(value)

    def _read(self, value: Mapping) -> list[list[str]]:
        check_choice_genotype(value)
        for name, own in self.settings.items():
            if value[name] != own:
                raise ValueError(f'this supernet has {name}={own!r}, the genotype {value[name]!r}')
        widths = [stage['channels'] for stage in value['stages']]
        path = [list(stage['blocks']) for stage in value['stages']]
        own, other = _sizes(self.widths, self.depths), _sizes(widths, [len(kinds) for kinds in path])
        if own != other:
            raise ValueError(f'this supernet has stages of {own} (channels x blocks), the genotype of {other}')
        unknown = {kind for kinds in path for kind in kinds} - set(self.choices)
        if unknown:
            raise ValueError(f'this supernet has the choices {", ".join(self.choices)}, the genotype wants '
                             f'{", ".join(sorted(unknown))}')
        return path

    def forward(self, images: Tensor) -> Union[tuple[Tensor, ...], Tensor]:
        """Run the path.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            As :meth:`DetNASNet.forward`.
        """
        if self.path is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        x, maps = self.stem(training_layout(images, self.training)), []
        for index, (stage, kinds) in enumerate(zip(self.stages, self.path, strict=True)):
            for block, kind in zip(stage, kinds, strict=True):
                x = block[kind](x)
            if index in self.network['out_indices']:
                maps.append(x)
        return tuple(maps) if self.head is None else self.head(x)

    def extract(self, value: Mapping) -> DetNASNet:
        """Return the network of a genotype with a copy of its weights; the current path stays.

        Args:
            value: Plain value of a ChoiceBlockSpace genotype.

        Returns:
            A backbone of its own, on the same device and in the same mode, whose outputs are exactly this supernet's.
        """
        path = self._read(value)
        network = DetNASNet(genotype=value, **self.network).to(next(self.parameters()))
        network.stem.load_state_dict(self.stem.state_dict())
        for stage, own, kinds in zip(network.stages, self.stages, path, strict=True):
            for target, block, kind in zip(stage, own, kinds, strict=True):
                target.load_state_dict(block[kind].state_dict())
        if self.head is not None:
            network.head.load_state_dict(self.head.state_dict())
        return network.train(self.training)


def _sizes(widths: Sequence[int], depths: Sequence[int]) -> str:
    return ', '.join(f'{width} x {depth}' for width, depth in zip(widths, depths, strict=True))
