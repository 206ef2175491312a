"""NAS-FPN's merging cells: which features a cell merges, and how.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392, section 3.

Public implementations differ, so the genotype names its dialect (``gp_mode``): ``'reference'`` follows the
authors' TPU code, ``'mmdet'`` follows mmdet's NASFPN on mmcv's merge cells.
"""

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from torch import Tensor, nn

from nasdet.models.layers.resampling import resample

OPS = ('sum', 'gp')
MODES = ('reference', 'mmdet')
TOPS = ('pool', 'conv_pool')
CONVS = ('dense', 'separable')
REQUIRED = ('levels', 'gp_mode', 'top', 'conv_bias', 'cells')
OPTIONAL = ('extra_projection', 'conv', 'stacks', 'width', 'head_depth')


@dataclass(frozen=True)
class Cell:
    """A merging cell, with what the rule for unused features adds to it.

    Args:
        level: Pyramid level of the result; its stride is 2 ** level pixels.
        op: ``'sum'`` or ``'gp'`` (global pooling).
        inputs: Offsets of the two features merged, ascending; offset 0 is the finest pyramid input, and every
            cell appends one.
        unused: Offsets of the features of the same level that nothing has consumed before, added to the result.
        output: Whether the result is the pyramid's output of its level.
    """

    level: int
    op: str
    inputs: tuple[int, int]
    unused: tuple[int, ...]
    output: bool


def read_cells(genotype: Mapping) -> tuple[Cell, ...]:
    """Check a genotype and resolve its unused features.

    An output cell also adds every feature of its level that no earlier cell, nor the cell itself, has consumed
    (authors' code). All inputs and intermediate cells come before the outputs, so nothing is left dangling.

    Args:
        genotype: Plain value of a MergingCellSpace genotype: the keys of ``REQUIRED``, perhaps some of ``OPTIONAL``.

    Returns:
        The cells in order; none means that the pyramid inputs are the outputs.

    Raises:
        ValueError: The genotype is not one.
    """
    check_genotype(genotype)
    levels = list(genotype['levels'])
    consumed: set[int] = set()
    cells = []
    for cell in genotype['cells']:
        inputs = tuple(sorted(cell['inputs']))
        consumed.update(inputs)
        unused = ()
        if cell['output']:
            unused = tuple(i for i, level in enumerate(levels) if level == cell['level'] and i not in consumed)
            consumed.update(unused)
        cells.append(Cell(cell['level'], cell['op'], inputs, unused, cell['output']))
        levels.append(cell['level'])
    return tuple(cells)


def check_genotype(genotype: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping describes a pyramid of merging cells."""
    if not isinstance(genotype, Mapping) or not set(REQUIRED) <= set(genotype) <= {*REQUIRED, *OPTIONAL}:
        raise ValueError(f'a merging-cell genotype has the keys {", ".join(REQUIRED)}, and may have '
                         f'{", ".join(OPTIONAL)}, not {genotype!r}')
    levels, cells = list(genotype['levels']), genotype['cells']
    if not levels or levels != list(range(levels[0], levels[0] + len(levels))):
        raise ValueError(f'levels are consecutive and ascending, such as [3, 4, 5, 6, 7], not {levels}')
    for name, known in (('gp_mode', MODES), ('top', TOPS), ('conv_bias', (True, False)),
                        ('extra_projection', (True, False)), ('conv', CONVS)):
        if name in genotype and genotype[name] not in known:
            raise ValueError(f'{name} is one of {known}, not {genotype[name]!r}')
    for name in ('stacks', 'width', 'head_depth'):
        if name in genotype and not _positive(genotype[name]):
            raise ValueError(f'{name} is a whole number, at least 1, not {genotype[name]!r}')
    for index, cell in enumerate(cells):
        _check_cell(index, cell, levels)
    roles = [cell['output'] for cell in cells]
    if roles != sorted(roles):
        raise ValueError('the intermediate cells come first, then the output cells')
    produced = sorted(cell['level'] for cell in cells if cell['output'])
    if cells and produced != levels:
        raise ValueError(f'each of the levels {levels} needs exactly one output cell; there are ones for {produced}')


def _positive(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _check_cell(index: int, cell: Mapping, levels: Sequence[int]) -> None:
    if set(cell) != {'level', 'op', 'inputs', 'output'}:
        raise ValueError(f'cell {index} has the keys level, op, inputs and output, not {sorted(cell)}')
    if cell['level'] not in levels:
        raise ValueError(f'cell {index}: level {cell["level"]} is not among the levels {levels}')
    if cell['op'] not in OPS:
        raise ValueError(f'cell {index}: op {cell["op"]!r} is not one of {OPS}')
    pool = range(len(levels) + index)
    inputs = list(cell['inputs'])
    if len(inputs) != 2 or inputs[0] == inputs[1] or any(offset not in pool for offset in inputs):
        raise ValueError(f'cell {index}: inputs are two different offsets below {len(pool)}, not {inputs}')


def needs_extra_projection(cells: Sequence[Cell]) -> bool:
    """Return whether more than one cell consumes the second pyramid input, so that an extra projection is of use.

    With ``extra_projection``, the second backbone map (C4 where the levels begin at 3) is projected twice: in the first
    stack, one projection is for the first cell that consumes it, the other for all later ones. The paper's counts of
    parameters and multiply-adds follow to the printed digits in this way, and not with one projection.
    """
    return sum(1 in cell.inputs + cell.unused for cell in cells) > 1


def run_cells(features: Sequence[Tensor], levels: Sequence[int], cells: Sequence[Cell], convs: Sequence[nn.Module],
              mode: str, extra: Optional[Tensor] = None) -> list[Tensor]:
    """Fuse a pyramid.

    Args:
        features: Pyramid inputs, finest first, each (N, C, H, W).
        levels: Their levels.
        cells: What :func:`read_cells` returned.
        convs: One module a cell, applied to its merged features: ReLU, 3x3 convolution, normalisation.
        mode: ``'reference'`` or ``'mmdet'``.
        extra: What all consumers of the second input but the first read in its place (:func:`needs_extra_projection`).

    Returns:
        One map a level, finest first, with the shapes of ``features``.
    """
    pool = _Pool(features, levels, mode)
    outputs = dict(zip(levels, features, strict=True))
    for cell, conv in zip(cells, convs, strict=True):
        first, second = (pool.at_level(offset, cell.level) for offset in cell.inputs)
        sources = tuple(pool.levels[offset] for offset in cell.inputs)
        merged = first + second if cell.op == 'sum' else global_pooling(first, second, sources, mode)
        for offset in cell.unused:
            merged = merged + pool.features[offset]
        if extra is not None and 1 in cell.inputs + cell.unused:
            pool.replace(1, extra)
            extra = None
        merged = conv(merged)
        pool.append(merged, cell.level)
        if cell.output:
            outputs[cell.level] = merged
    return [outputs[level] for level in levels]


class _Pool:
    """The features that cells pick from; one that several cells want at the same level is resampled once."""

    def __init__(self, features: Sequence[Tensor], levels: Sequence[int], mode: str):
        self.features, self.levels, self.mode = list(features), list(levels), mode
        self.sizes = {level: feature.shape[-2:] for level, feature in zip(levels, features, strict=True)}
        self.resampled: dict[tuple[int, int], Tensor] = {}

    def append(self, feature: Tensor, level: int) -> None:
        self.features.append(feature)
        self.levels.append(level)

    def replace(self, offset: int, feature: Tensor) -> None:
        self.features[offset] = feature
        self.resampled = {key: known for key, known in self.resampled.items() if key[0] != offset}

    def at_level(self, offset: int, level: int) -> Tensor:
        key = (offset, level)
        if key not in self.resampled:
            self.resampled[key] = resample(self.features[offset], self.levels[offset] - level, self.sizes[level],
                                           self.mode)
        return self.resampled[key]


def global_pooling(first: Tensor, second: Tensor, sources: tuple[int, int], mode: str) -> Tensor:
    """Merge two maps, one gating the other channel by channel.

    Args:
        first: The map of lower offset, resampled to (N, C, H, W).
        second: The map of higher offset, likewise.
        sources: Their levels before resampling.
        mode: ``'reference'``: the maximum of the coarser map (of equal ones: the first) gates the other and the
            coarser is added. ``'mmdet'``: the mean of the finer map (of equal ones: the second) gates the other and
            the finer is added.
    """
    second_is_finer = sources[0] >= sources[1]
    coarse, fine = (first, second) if second_is_finer else (second, first)
    if mode == 'reference':
        return coarse + fine * coarse.amax(dim=(2, 3), keepdim=True).sigmoid()
    return fine + coarse * fine.mean(dim=(2, 3), keepdim=True).sigmoid()
