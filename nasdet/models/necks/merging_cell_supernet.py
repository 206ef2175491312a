"""The weight-shared network over all NAS-FPN genotypes of a space."""

from typing import Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.layers.merging import read_cells, run_cells
from nasdet.models.layers.pyramid import PyramidInputs, merging_conv
from nasdet.models.necks.merging_cell_fpn import MergingCellFPN


@MODELS.register_module()
class MergingCellSupernet(BaseModule):
    """Holds one convolution and normalisation for each stack, cell slot and target level.

    Which features a cell merges, and by which operation, needs no weights, so these decisions are free. Only the
    path's convolutions run; the others get no gradient (None).

    Args:
        in_channels: Channels of each backbone map, finest first.
        out_channels: Channels of every output.
        levels: Pyramid levels, such as (3, 4, 5, 6, 7).
        num_cells: Cells of every genotype; the last ``len(levels)`` of them are the outputs.
        gp_mode: Dialect of every genotype: ``'reference'`` or ``'mmdet'``.
        top: Recipe of the levels above the backbone's: ``'pool'`` or ``'conv_pool'``.
        conv_bias: Whether the merging convolutions have a bias.
        start_level: Index of the first backbone map used.
        stack_times: Times that the topology is applied, with weights of its own.
        norm_cfg: Normalisation after each convolution.
        init_cfg: How mmengine initialises the weights.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, levels: Sequence[int], num_cells: int,
                 gp_mode: str = 'reference', top: str = 'pool', conv_bias: bool = True, start_level: int = 0,
                 stack_times: int = 1, norm_cfg: Optional[dict] = None,
                 init_cfg: Union[dict, list, None] = dict(type='Caffe2Xavier', layer='Conv2d')):  # noqa: B006
        super().__init__(init_cfg=init_cfg)
        self.settings = dict(levels=list(levels), gp_mode=gp_mode, top=top, conv_bias=conv_bias)
        self.neck = dict(in_channels=list(in_channels), out_channels=out_channels, num_outs=len(levels),
                         start_level=start_level, stack_times=stack_times, norm_cfg=norm_cfg)
        self.num_cells = num_cells
        self.path = None
        self.inputs = PyramidInputs(in_channels, out_channels, len(levels), start_level, top, gp_mode, norm_cfg)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleDict({str(level): merging_conv(out_channels, conv_bias, norm_cfg)
                               for level in self._target_levels(slot)})
                for slot in range(num_cells))
            for _ in range(stack_times))

    def _target_levels(self, slot: int) -> list[int]:
        """Return the levels of a slot: an intermediate cell may not use the finest."""
        levels = self.settings['levels']
        return levels[1:] if slot < self.num_cells - len(levels) else levels

    def set_path(self, value: Mapping) -> None:
        """Choose the genotype that forward() runs.

        Args:
            value: Plain value of a MergingCellSpace genotype.

        Raises:
            ValueError: Not a genotype of this supernet.
        """
        cells = read_cells(value)
        for name, own in self.settings.items():
            other = list(value[name]) if name == 'levels' else value[name]
            if other != own:
                raise ValueError(f'this supernet has {name}={own!r}, the genotype {other!r}')
        if len(cells) != self.num_cells:
            raise ValueError(f'this supernet has {self.num_cells} cells, the genotype {len(cells)}')
        for slot, cell in enumerate(cells):
            if cell.level not in self._target_levels(slot):
                raise ValueError(f'cell {slot} of this supernet has the levels {self._target_levels(slot)}, '
                                 f'the genotype wants {cell.level}')
        self.path = cells

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the maps of a backbone along the path.

        Args:
            inputs: Each (N, C_i, H_i, W_i), finest first.

        Returns:
            One map (N, out_channels, H, W) a level, finest first.
        """
        if self.path is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        features = self.inputs(inputs)
        for stack in self.stacks:
            convs = [slot[str(cell.level)] for slot, cell in zip(stack, self.path, strict=True)]
            features = run_cells(features, self.settings['levels'], self.path, convs, self.settings['gp_mode'])
        return tuple(features)

    def extract(self, value: Mapping) -> MergingCellFPN:
        """Return the network of a genotype with a copy of its weights; the current path stays.

        Args:
            value: Plain value of a MergingCellSpace genotype.

        Returns:
            A neck of its own, on the same device and in the same mode, whose outputs are exactly this supernet's.
        """
        path = self.path
        self.set_path(value)
        cells, self.path = self.path, path
        neck = MergingCellFPN(genotype=value, **self.neck).to(next(self.parameters()))
        neck.inputs.load_state_dict(self.inputs.state_dict())
        for target, source in zip(neck.stacks, self.stacks, strict=True):
            for conv, slot, cell in zip(target, source, cells, strict=True):
                conv.load_state_dict(slot[str(cell.level)].state_dict())
        return neck.train(self.training)
