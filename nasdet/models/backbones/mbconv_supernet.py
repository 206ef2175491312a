"""The weight-shared network over all children of a space of MBConv blocks: each is a part of the largest.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142.
"""

from typing import Mapping, Optional, Sequence, Union

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.backbones.mbconv_net import MBConvNet, draw_weights, map_numbers, resize, set_drop_path
from nasdet.models.layers.elastic import ELASTIC_CONV, ElasticMBConv, ElasticMBConvHead, elastic_norm, part_of
from nasdet.models.layers.layout import training_layout
from nasdet.models.layers.mbconv import SWISH
from nasdet.models.layers.mbconv_choices import check_child, check_choices, extreme_child, genes_of
from nasdet.models.layers.mbconv_genotype import STEM_STRIDE, block_shapes_of


@MODELS.register_module()
class MBConvSupernet(BaseModule):
    """Holds the largest child; the others are its first channels, the middle of its kernels and its first blocks.

    Dropout and drop path act on the largest child only. There are no running statistics of batch norm: a child is
    evaluated with statistics measured for it (:func:`nasdet.training.recalibrated`).

    Args:
        stages: Of each stage a dict with lists of ``channels``, ``depth`` (number of blocks), ``kernel`` and
            ``expansion``, and with ``stride`` and ``se`` as a genotype has them.
        stem_channels: List of channels of the stem.
        head_channels: List of channels before the linear layer of the head.
        resolution: List of sides in pixels that a classifier resizes images to; None leaves them as they are, and so
            does a backbone.
        semantics: Of blocks and head, ``'efficientnet'`` or ``'attentivenas'``.
        out_indices: The stages whose maps are returned, ascending; None: the last one of each stride from 4 pixels on.
        norm_cfg: Config of batch norm; there is no other elastic normalisation.
        head: Add the head, which all children share; the network then gives logits instead of maps.
        num_classes: Classes of the head.
        dropout: Of the head, for the largest child.
        drop_path: Of the blocks, as :class:`MBConvNet` has it, for the largest child.
        zero_init_residual: Let blocks that have a shortcut in every child start as that shortcut alone.
        init_cfg: How mmengine initialises the weights, after they were drawn as those of :class:`MBConvNet`.

    Raises:
        ValueError: There is no such network.
    """

    def __init__(self, stages: Sequence[Mapping], stem_channels: Sequence[int], head_channels: Sequence[int],
                 resolution: Optional[Sequence[int]] = None, semantics: str = 'efficientnet',
                 out_indices: Optional[Sequence[int]] = None,
                 norm_cfg: dict = dict(type='BN'),  # noqa: B006
                 head: bool = False, num_classes: int = 1000, dropout: float = 0.2, drop_path: float = 0.0,
                 zero_init_residual: bool = True, init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        self.choices = dict(semantics=semantics, resolution=resolution, stem_channels=stem_channels, stages=stages,
                            head_channels=head_channels)
        check_choices(self.choices)
        self.out_indices = map_numbers(out_indices, stages)
        self.zero_init_residual = zero_init_residual
        self.dropout, self.drop_path = dropout, drop_path
        self.network = dict(out_indices=self.out_indices, norm_cfg=norm_cfg, head=head, num_classes=num_classes)
        self.depths: Optional[list[int]] = None     # blocks of each stage that run; None: there is no path yet
        self.resolution: Optional[int] = None
        self._build(extreme_child(self.choices), norm_cfg, head, num_classes)

    def _build(self, largest: Mapping, norm_cfg: Mapping, head: bool, num_classes: int) -> None:
        semantics = self.choices['semantics']
        shapes = block_shapes_of(largest)[:None if head else self.out_indices[-1] + 1]
        self.stem = ConvModule(3, largest['stem_channels'], 3, STEM_STRIDE, 1, conv_cfg=ELASTIC_CONV,
                               norm_cfg=elastic_norm(norm_cfg), act_cfg=SWISH)
        self.stages = nn.ModuleList()
        before = set(self.choices['stem_channels'])
        for stage, options in zip(shapes, self.choices['stages'], strict=False):
            after = set(options['channels'])
            self.stages.append(nn.ModuleList(
                ElasticMBConv(shape, semantics, norm_cfg, same_width=index > 0 or len(before | after) == 1)
                for index, shape in enumerate(stage)))
            before = after
        self.head = None
        if head:
            self.head = ElasticMBConvHead(largest['stages'][-1]['channels'], largest['head_channels'], num_classes,
                                          self.dropout, semantics, norm_cfg)

    def init_weights(self) -> None:
        """Draw fresh weights, then follow ``init_cfg``."""
        if not self.is_init:
            draw_weights(self, self.zero_init_residual)
        super().init_weights()

    def set_path(self, value: Mapping) -> None:
        """Choose the child that forward() runs.

        Args:
            value: Plain value of an ElasticSpace genotype.

        Raises:
            ValueError: Not a child of this supernet.
        """
        check_child(self.choices, value)
        self.depths = [stage['depth'] for stage in value['stages']]
        self.resolution = value['resolution']
        self.stem.conv.width = value['stem_channels']
        for stage, shapes in zip(self.stages, block_shapes_of(value), strict=False):
            for block, shape in zip(stage, shapes, strict=False):
                block.set_shape(shape)
        largest = self._is_largest(value)
        set_drop_path(self.stages, self.drop_path if largest else 0.0, self.choices['semantics'])
        if self.head is not None:
            self.head.set_widths(value['stages'][-1]['channels'], value['head_channels'])
            self.head.dropout.p = self.dropout if largest else 0.0

    def _is_largest(self, value: Mapping) -> bool:
        own = {} if self.head is not None else dict(resolution=None)    # a detector has its images resized elsewhere
        return genes_of({**value, **own}) == genes_of({**extreme_child(self.choices), **own})

    def forward(self, images: Tensor) -> Union[tuple[Tensor, ...], Tensor]:
        """Run the child.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            As :meth:`MBConvNet.forward`.

        Raises:
            RuntimeError: No child is chosen, or it is to be evaluated without statistics of batch norm.
        """
        if self.depths is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        if not self.stem.norm.training and not self.stem.norm.num_batches_tracked:
            raise RuntimeError('this supernet keeps no statistics of batch norm: evaluate a child inside '
                               'nasdet.training.recalibrated(), which measures them')
        if self.head is not None:
            images = resize(images, self.resolution)
        x, maps = self.stem(training_layout(images, self.training)), []
        for index, (stage, depth) in enumerate(zip(self.stages, self.depths, strict=False)):
            for block in stage[:depth]:
                x = block(x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps) if self.head is None else self.head(x)

    @torch.no_grad()
    def extract(self, value: Mapping) -> MBConvNet:
        """Return a child with a copy of its weights; the current path stays.

        Args:
            value: Plain value of an ElasticSpace genotype.

        Returns:
            A network of its own, on the same device and in the same mode, whose outputs are exactly this supernet's.
        """
        check_child(self.choices, value)
        largest = self._is_largest(value)
        child = MBConvNet(value, dropout=self.dropout if largest else 0.0,
                          drop_path=self.drop_path if largest else 0.0, **self.network).to(next(self.parameters()))
        own = self.state_dict()
        child.load_state_dict({name: part_of(own[name], tensor.shape) for name, tensor in child.state_dict().items()})
        return child.train(self.training)
