"""The search space of NAS-FPN.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392, section 3.1.
"""

import math
from typing import Iterable, Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space
from nasdet.spaces.merging_canonical import canonical_cells

CELL_DECISIONS = ('pair', 'level', 'op')
FURTHER_DECISIONS = ('stacks', 'width', 'conv', 'head_depth')
SAME_AS_ABSENT = dict(extra_projection=False, conv='dense')     # what a genotype means that does not say


@SPACES.register_module()
class MergingCellSpace(Space):
    """Which features of a pyramid are merged, in which order, at which level, and how.

    Each cell takes three decisions: an unordered pair among the pyramid inputs and the earlier cells, the level of
    its result, and the operation. The first ``num_cells - len(levels)`` cells are intermediate and may not use the
    finest level, to bound the cost; the others are the outputs, one a level in free order.

    These decisions move the multiply-adds by only 16 % either way. Each of ``stacks``, ``widths``, ``convs`` and
    ``head_depths`` that is given adds one decision after the cells; ``neck`` and the detector decide the others.

    Args:
        num_cells: Cells, at least one a level.
        levels: Consecutive pyramid levels; level l has a stride of 2 ** l pixels. RetinaNet: 3 to 7, Faster R-CNN: 2
            to 6.
        ops: Operations to choose from: ``'sum'``, ``'gp'``.
        gp_mode: Dialect of resampling and global pooling: ``'reference'`` (the authors') or ``'mmdet'``.
        top: Recipe of the levels above the backbone's: ``'pool'`` (paper) or ``'conv_pool'`` (mmdet).
        conv_bias: Whether the merging convolutions have a bias.
        neck: What :meth:`apply` gives the neck beside the genotype: ``out_channels`` (default: the detector's own),
            ``stack_times`` (default 3, as the paper's search), ``norm_cfg`` (default BN), ``init_cfg``,
            ``drop_block``.
        extra_projection: Whether the second backbone map used is projected twice, once for the first cell that
            consumes it and once for all others; the paper's figures of cost imply it.
        stacks: Numbers of stacks to choose from.
        widths: Numbers of channels of the neck to choose from.
        convs: Merging convolutions to choose from: ``'dense'``, ``'separable'`` (depthwise, then pointwise).
        head_depths: Numbers of convolutions before the predictions to choose from: ``stacked_convs`` of a one-stage
            head, ``num_convs`` of an RPN.
    """

    def __init__(self, num_cells: int = 7, levels: Sequence[int] = (3, 4, 5, 6, 7), ops: Sequence[str] = ('sum', 'gp'),
                 gp_mode: str = 'reference', top: str = 'pool', conv_bias: bool = True, neck: Optional[Mapping] = None,
                 extra_projection: bool = False, stacks: Optional[Sequence[int]] = None,
                 widths: Optional[Sequence[int]] = None, convs: Optional[Sequence[str]] = None,
                 head_depths: Optional[Sequence[int]] = None):
        self.levels = tuple(levels)
        self.num_cells = num_cells
        self.ops = tuple(ops)
        self.gp_mode, self.top, self.conv_bias = gp_mode, top, conv_bias
        self.extra_projection = extra_projection
        self.neck = dict(neck or {})
        self.num_intermediate = num_cells - len(self.levels)
        further = zip(FURTHER_DECISIONS, (stacks, widths, convs, head_depths), strict=True)
        self.further = {name: tuple(known) for name, known in further if known is not None}
        self._check_arguments()
        pool = len(self.levels) + num_cells - 1
        pairs = tuple((low, high) for high in range(pool) for low in range(high))    # a smaller pool has a prefix
        self.vocab = dict(pair=pairs, level=self.levels, op=self.ops, **self.further)

    def _check_arguments(self) -> None:
        from nasdet.models.layers.merging import OPS, check_genotype  # brings torch and mmdet
        check_genotype(dict(self._settings(), cells=[]))
        if len(self.levels) < 2 or self.num_intermediate < 0:
            raise ValueError(f'MergingCellSpace needs at least two levels and a cell for each: '
                             f'num_cells={self.num_cells}, levels={list(self.levels)}')
        if not self.ops or not set(self.ops) <= set(OPS):
            raise ValueError(f'ops are among {OPS}, not {self.ops}')
        for name, known in self.further.items():
            if not known or len(set(known)) < len(known):
                raise ValueError(f'{name} needs one choice or several different ones, not {list(known)}')
            for value in known:
                check_genotype({**self._settings(), 'cells': [], name: value})
        self._check_neck()

    def _check_neck(self) -> None:
        known = {'out_channels', 'stack_times', 'norm_cfg', 'init_cfg', 'drop_block'}
        if not self.neck.keys() <= known:
            raise ValueError(f'neck takes {sorted(known)}, not {sorted(self.neck.keys() - known)}')
        for name, decision in (('out_channels', 'width'), ('stack_times', 'stacks')):
            if not isinstance(self.neck.get(name, 1), int) or self.neck.get(name, 1) < 1:
                raise ValueError(f'neck: {name} is a whole number, at least 1, not {self.neck[name]!r}')
            if name in self.neck and decision in self.further:
                raise ValueError(f'neck: {name} is given, but {decision} is a decision of this space: give one of them')

    def _settings(self) -> dict:
        return dict(levels=list(self.levels), gp_mode=self.gp_mode, top=self.top, conv_bias=self.conv_bias,
                    extra_projection=self.extra_projection)

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``: pair, level and operation of each cell, then the further ones."""
        index, decision = divmod(len(prefix), len(CELL_DECISIONS))
        if index < self.num_cells:
            kind = CELL_DECISIONS[decision]
            return Choice(f'cell{index}.{kind}', kind, self._legal(index, kind, prefix))
        position = len(prefix) - self.num_cells * len(CELL_DECISIONS)
        if position == len(self.further):
            return None
        name = list(self.further)[position]
        return Choice(name, name, tuple(range(len(self.further[name]))))

    def _legal(self, index: int, kind: str, prefix: tuple[int, ...]) -> tuple[int, ...]:
        if kind == 'pair':
            return tuple(range(math.comb(len(self.levels) + index, 2)))
        if kind == 'op':
            return tuple(range(len(self.ops)))
        if index < self.num_intermediate:
            return tuple(range(1, len(self.levels)))
        produced = prefix[self.num_intermediate * len(CELL_DECISIONS) + 1::len(CELL_DECISIONS)]
        return tuple(token for token in range(len(self.levels)) if token not in produced)

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        taken = [self.vocab[choice.kind][token] for choice, token in self.walk(tuple(tokens))]
        for_cells = self.num_cells * len(CELL_DECISIONS)
        if len(taken) != for_cells + len(self.further):
            raise ValueError(f'{self.name}: {self.num_cells} cells and {len(self.further)} further decisions take '
                             f'{for_cells + len(self.further)} tokens, not {len(taken)}')
        cells, further = taken[:for_cells], taken[for_cells:]
        return self._genotype(zip(cells[1::3], cells[2::3], cells[::3], strict=True), further)

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        cells, further = self._read(genotype)
        tokens: tuple[int, ...] = ()
        for value in [value for cell in cells for value in (cell.inputs, cell.level, cell.op)] + further:
            choice = self.choices(tokens)
            vocabulary = self.vocab[choice.kind]
            if value not in vocabulary or vocabulary.index(value) not in choice.legal:
                legal = [vocabulary[token] for token in choice.legal]
                raise ValueError(f'{choice.name} is {value!r}, but this space allows {legal}')
            tokens += (vocabulary.index(value),)
        return tokens

    def _read(self, genotype: Genotype) -> tuple[tuple, list]:
        """Return the cells, unused features resolved, and the further decisions of a genotype of this space."""
        from nasdet.models.layers.merging import needs_extra_projection, read_cells
        cells = read_cells(genotype.plain())
        value = {**SAME_AS_ABSENT, **genotype.plain()}
        if not needs_extra_projection(cells):
            value['extra_projection'] = self.extra_projection   # either is the same network
        for name, own in self._settings().items():
            if value[name] != own:
                raise ValueError(f'this space has {name}={own!r}, the genotype {value[name]!r}')
        if len(cells) != self.num_cells:
            raise ValueError(f'this space has num_cells={self.num_cells}, the genotype has {len(cells)} cells')
        for name in FURTHER_DECISIONS:
            if name in self.further and name not in value:
                raise ValueError(f'this space decides {name}, one of {list(self.further[name])}, and the genotype does '
                                 f'not say it')
            if name not in self.further and value.get(name) != SAME_AS_ABSENT.get(name):
                raise ValueError(f'the genotype has {name}={value[name]!r}, which this space does not decide')
        return cells, [value[name] for name in self.further]

    def _genotype(self, cells: Iterable[tuple], further: Sequence) -> Genotype:
        """Return the genotype of the (level, op, inputs) of each cell, without the settings that change nothing."""
        from nasdet.models.layers.merging import needs_extra_projection, read_cells
        cells = [dict(level=level, op=op, inputs=list(inputs), output=index >= self.num_intermediate)
                 for index, (level, op, inputs) in enumerate(cells)]
        value = dict(self._settings(), cells=cells, **dict(zip(self.further, further, strict=True)))
        if not (self.extra_projection and needs_extra_projection(read_cells(value))):
            del value['extra_projection']
        return Genotype(self.name, value)

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the one genotype for all that merge the same features, unused ones included."""
        cells, further = self._read(genotype)
        return self._genotype(canonical_cells(cells, self.levels, self.extra_projection), further)

    def size(self) -> int:
        """Return the number of genotypes, before symmetries: 1.93e15 in the paper's setting."""
        pairs = math.prod(math.comb(len(self.levels) + index, 2) for index in range(self.num_cells))
        levels = (len(self.levels) - 1) ** self.num_intermediate * math.factorial(len(self.levels))
        further = math.prod(len(known) for known in self.further.values())
        return pairs * levels * len(self.ops) ** self.num_cells * further

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new model config whose neck has the genotype, and whose heads fit that neck.

        The heads get its width and, where the space decides it, their depth. A two-stage detector gets its strides too
        (:func:`nasdet.spaces.detector.neck_strides_to_heads`); a one-stage head must have them.

        Args:
            genotype: One of this space.
            model: A detector's model config; it is not changed.

        Raises:
            ValueError: The genotype is of another space, or the detector has no neck or head for it.
        """
        self.encode(genotype)
        value = genotype.plain()
        return self._with_neck(model, dict(type='MergingCellFPN', genotype=value, num_outs=len(self.levels)), value)

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose neck holds the weights of all genotypes; ``model`` is not changed.

        Raises:
            ValueError: The space leaves open what cannot share weights, or the detector has no neck or head for it.
        """
        for name in ('width', 'head_depth'):
            if len(self.further.get(name, ())) > 1:
                raise ValueError(f'a supernet has one {name}, and this space leaves open which of '
                                 f'{list(self.further[name])}: use TrainingEstimator, or give the space one of them')
        if 'drop_block' in self.neck:
            raise ValueError('a supernet has no DropBlock: leave drop_block out of neck, or use TrainingEstimator')
        decided = {name: max(known) for name, known in self.further.items()}    # of stacks, the supernet has the most
        convs = dict(convs=list(self.further['conv'])) if 'conv' in self.further else {}
        return self._with_neck(model, dict(type='MergingCellSupernet', num_cells=self.num_cells, **self._settings(),
                                           **convs), decided)

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where levels, channels or heads do not fit a detector."""
        value = self.sample(np.random.default_rng(0)).plain()
        for width in self.further.get('width', [None]):     # group normalisation, for one, does not take every width
            genotype = Genotype(self.name, {**value, 'width': width} if width else value)
            applied = self.apply(genotype, model)
            detector.check(applied)
            detector.check_channels(applied)

    def _with_neck(self, model: Mapping, neck: Mapping, decided: Mapping) -> ConfigDict:
        neck = {'out_channels': detector.first_neck(model).get('out_channels'), 'stack_times': 3,
                'norm_cfg': dict(type='BN'), **self.neck, **neck}
        for name, argument in (('width', 'out_channels'), ('stacks', 'stack_times')):
            neck[argument] = decided.get(name, neck[argument])
        if neck['out_channels'] is None:
            raise ValueError('the neck in this model config has no out_channels: give the space '
                             'neck=dict(out_channels=...)')
        applied = detector.replace_neck(model, neck, self.levels[0])
        return detector.head_depth_to_heads(applied, decided['head_depth']) if 'head_depth' in decided else applied

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return inputs and cells by column, levels by row; an edge that the rule for unused features adds says so."""
        graph = Graph()
        for offset, level in enumerate(self.levels):
            graph.nodes.append(dict(id=offset, label=f'P{level}', column=0, row=level, kind='input'))
        for index, cell in enumerate(self._read(genotype)[0]):
            offset = len(self.levels) + index
            kind = 'output' if cell.output else 'intermediate'
            graph.nodes.append(dict(id=offset, label=cell.op, column=index + 1, row=cell.level, kind=kind))
            graph.edges.extend((source, offset, '') for source in cell.inputs)
            graph.edges.extend((source, offset, 'unused') for source in cell.unused)
        return graph
