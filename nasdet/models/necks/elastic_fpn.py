"""A feature pyramid that all children of an elastic backbone share.

Lin, Dollar, Girshick, He, Hariharan, Belongie: Feature Pyramid Networks for Object Detection. CVPR 2017,
arXiv:1612.03144.
"""

from typing import Mapping, Sequence

import torch
from mmdet.models import FPN
from mmdet.registry import MODELS

from nasdet.models.layers.elastic import ELASTIC_CONV, part_of


@MODELS.register_module()
class ElasticFPN(FPN):
    """mmdet's FPN, whose convolutions of backbone maps read the first channels that there are.

    Args:
        in_channels: Channels of each map of the largest backbone.
        stages: The stages of the backbone that give these maps, counted from 0.
        **options: As of mmdet's FPN, but for ``conv_cfg``.

    Raises:
        ValueError: Other convolutions are asked for.
    """

    def __init__(self, in_channels: Sequence[int], stages: Sequence[int], **options):
        if options.get('conv_cfg') is not None:
            raise ValueError(f'an ElasticFPN has convolutions of its own: leave conv_cfg={options["conv_cfg"]} out')
        super().__init__(list(in_channels), **{**options, 'conv_cfg': ELASTIC_CONV})
        self.stages = tuple(stages)
        self.options = {**options, 'conv_cfg': None}

    def set_path(self, value: Mapping) -> None:
        """Do nothing: the maps of a child say how many channels it has."""

    @torch.no_grad()
    def extract(self, value: Mapping) -> FPN:
        """Return the pyramid of a child with a copy of its weights.

        Args:
            value: Plain value of an ElasticSpace genotype.
        """
        channels = [value['stages'][index]['channels'] for index in self.stages]
        child = FPN(channels, **self.options).to(next(self.parameters()))
        own = self.state_dict()
        child.load_state_dict({name: part_of(own[name], tensor.shape) for name, tensor in child.state_dict().items()})
        return child.train(self.training)
