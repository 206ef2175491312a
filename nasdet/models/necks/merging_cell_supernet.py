"""The weight-shared network over all NAS-FPN genotypes of a space."""

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.layers.merging import Cell, needs_extra_projection, read_cells, run_cells
from nasdet.models.layers.pyramid import PyramidInputs, merging_conv
from nasdet.models.necks.merging_cell_fpn import MergingCellFPN


@dataclass(frozen=True)
class Path:
    """What a genotype uses of a supernet."""

    cells: tuple[Cell, ...]
    conv: str
    stacks: int
    extra: bool     # whether the extra projection is read


@MODELS.register_module()
class MergingCellSupernet(BaseModule):
    """Holds one convolution and normalisation for each stack, cell slot, target level and kind of convolution.

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
        extra_projection: Whether the second backbone map has a second projection, as in MergingCellFPN.
        convs: Kinds of merging convolution that a genotype may ask for: ``'dense'``, ``'separable'``.
        start_level: Index of the first backbone map used.
        stack_times: Stacks of every genotype, where genotypes do not say; each with weights of its own.
        stacks: Most stacks of a genotype, where genotypes do say; one with fewer runs the first of them.
        norm_cfg: Normalisation after each convolution.
        init_cfg: How mmengine initialises the weights.

    Raises:
        ValueError: ``stack_times`` and ``stacks`` differ, or the levels do not fit the backbone's.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, levels: Sequence[int], num_cells: int,
                 gp_mode: str = 'reference', top: str = 'pool', conv_bias: bool = True, extra_projection: bool = False,
                 convs: Sequence[str] = ('dense',), start_level: int = 0, stack_times: Optional[int] = None,
                 stacks: Optional[int] = None, norm_cfg: Optional[dict] = None,
                 init_cfg: Union[dict, list, None] = dict(type='Caffe2Xavier', layer='Conv2d')):  # noqa: B006
        super().__init__(init_cfg=init_cfg)
        if None not in (stack_times, stacks) and stack_times != stacks:
            raise ValueError(f'stack_times={stack_times} and stacks={stacks}: leave one of them out')
        self.settings = dict(levels=list(levels), gp_mode=gp_mode, top=top, conv_bias=conv_bias)
        self.neck = dict(in_channels=list(in_channels), out_channels=out_channels, num_outs=len(levels),
                         start_level=start_level, norm_cfg=norm_cfg)
        self.num_cells = num_cells
        self.convs = tuple(convs)
        self.path: Optional[Path] = None
        self.inputs = PyramidInputs(in_channels, out_channels, len(levels), start_level, top, gp_mode, norm_cfg,
                                    extra_projection)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleDict({str(level): nn.ModuleDict({kind: merging_conv(out_channels, conv_bias, norm_cfg, kind)
                                                          for kind in self.convs})
                               for level in self._target_levels(slot)})
                for slot in range(num_cells))
            for _ in range(stacks or stack_times or 1))

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
        self.path = self._read(value)

    def _read(self, value: Mapping) -> Path:
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
        return self._read_options(value, cells)

    def _read_options(self, value: Mapping, cells: tuple[Cell, ...]) -> Path:
        conv, stacks = value.get('conv', 'dense'), value.get('stacks', len(self.stacks))
        if conv not in self.convs:
            raise ValueError(f'this supernet has the convolutions {list(self.convs)}, the genotype wants {conv!r}')
        if stacks > len(self.stacks):
            raise ValueError(f'this supernet has {len(self.stacks)} stacks, the genotype wants {stacks}')
        width = self.neck['out_channels']
        if value.get('width', width) != width:
            raise ValueError(f'this supernet has width={width}, the genotype {value["width"]}')
        needed, own = needs_extra_projection(cells), self.inputs.extra is not None
        if needed and value.get('extra_projection', False) != own:
            raise ValueError(f'this supernet has extra_projection={own}, the genotype {not own}')
        return Path(cells, conv, stacks, own and needed)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the maps of a backbone along the path.

        Args:
            inputs: Each (N, C_i, H_i, W_i), finest first.

        Returns:
            One map (N, out_channels, H, W) a level, finest first.
        """
        path = self.path
        if path is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        features = self.inputs(inputs)
        extra = self.inputs.project_again(inputs) if path.extra else None
        for stack in self.stacks[:path.stacks]:
            features = run_cells(features, self.settings['levels'], path.cells, _convs(stack, path),
                                 self.settings['gp_mode'], extra)
            extra = None        # later stacks read outputs, no backbone map
        return tuple(features)

    def extract(self, value: Mapping) -> MergingCellFPN:
        """Return the network of a genotype with a copy of its weights; the current path stays.

        Args:
            value: Plain value of a MergingCellSpace genotype.

        Returns:
            A neck of its own, on the same device and in the same mode, whose outputs are exactly this supernet's.
        """
        path = self._read(value)
        neck = MergingCellFPN(genotype=value, stack_times=path.stacks, **self.neck).to(next(self.parameters()))
        own = self.inputs.state_dict()
        neck.inputs.load_state_dict({name: own[name] for name in neck.inputs.state_dict()})
        for target, stack in zip(neck.stacks, self.stacks[:path.stacks], strict=True):
            for conv, source in zip(target, _convs(stack, path), strict=True):
                conv.load_state_dict(source.state_dict())
        return neck.train(self.training)


def _convs(stack: nn.ModuleList, path: Path) -> list[nn.Module]:
    """Return the convolution of each cell of a path in one stack."""
    return [slot[str(cell.level)][path.conv] for slot, cell in zip(stack, path.cells, strict=True)]
