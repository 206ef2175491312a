"""The NAS-FPN neck of any genotype.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392.
"""

from typing import Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.layers.merging import read_cells, run_cells
from nasdet.models.layers.pyramid import PyramidInputs, merging_conv


@MODELS.register_module()
class MergingCellFPN(BaseModule):
    """Fuses a feature pyramid by merging cells, the same topology stacked several times with weights of its own.

    Args:
        in_channels: Channels of each backbone map, finest first.
        out_channels: Channels of every output.
        num_outs: Number of outputs, and of the genotype's levels.
        genotype: Plain value of a MergingCellSpace genotype, or the name of a published one (``'nas_fpn'``).
        start_level: Index of the first backbone map used.
        stack_times: Times that the topology is applied.
        norm_cfg: Normalisation after each convolution.
        init_cfg: How mmengine initialises the weights.

    Raises:
        ValueError: The genotype is not one, or the levels do not fit.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int, genotype: Union[str, Mapping],
                 start_level: int = 0, stack_times: int = 1, norm_cfg: Optional[dict] = None,
                 init_cfg: Union[dict, list, None] = dict(type='Caffe2Xavier', layer='Conv2d')):  # noqa: B006
        super().__init__(init_cfg=init_cfg)
        genotype = _value(genotype)
        self.cells = read_cells(genotype)
        self.levels = tuple(genotype['levels'])
        self.mode = genotype['gp_mode']
        if num_outs != len(self.levels):
            raise ValueError(f'num_outs={num_outs}, but the genotype has the levels {list(self.levels)}')
        self.inputs = PyramidInputs(in_channels, out_channels, num_outs, start_level, genotype['top'], self.mode,
                                    norm_cfg)
        self.stacks = nn.ModuleList(
            nn.ModuleList(merging_conv(out_channels, genotype['conv_bias'], norm_cfg) for _ in self.cells)
            for _ in range(stack_times))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the maps of a backbone.

        Args:
            inputs: Each (N, C_i, H_i, W_i), finest first.

        Returns:
            ``num_outs`` maps (N, out_channels, H, W), finest first.
        """
        features = self.inputs(inputs)
        for convs in self.stacks:
            features = run_cells(features, self.levels, self.cells, convs, self.mode)
        return tuple(features)


def _value(genotype: Union[str, Mapping]) -> Mapping:
    if not isinstance(genotype, str):
        return genotype
    from nasdet import zoo  # only for a name, so that an exported network needs this file alone
    return zoo.load(genotype).plain()
