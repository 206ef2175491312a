"""The search space of NAS-FPN.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392, section 3.1.
"""

import copy
import math
from typing import Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space
from nasdet.spaces.merging_canonical import canonical_cells

DECISIONS = ('pair', 'level', 'op')


@SPACES.register_module()
class MergingCellSpace(Space):
    """Which features of a pyramid are merged, in which order, at which level, and how.

    Each cell takes three decisions: an unordered pair among the pyramid inputs and the earlier cells, the level of
    its result, and the operation. The first ``num_cells - len(levels)`` cells are intermediate and may not use the
    finest level, to bound the cost; the others are the outputs, one a level in free order.

    Args:
        num_cells: Cells, at least one a level.
        levels: Consecutive pyramid levels; level l has a stride of 2 ** l pixels. RetinaNet: 3 to 7, Faster R-CNN: 2
            to 6.
        ops: Operations to choose from: ``'sum'``, ``'gp'``.
        gp_mode: Dialect of resampling and global pooling: ``'reference'`` (the authors') or ``'mmdet'``.
        top: Recipe of the levels above the backbone's: ``'pool'`` (paper) or ``'conv_pool'`` (mmdet).
        conv_bias: Whether the merging convolutions have a bias.
        neck: What :meth:`apply` gives the neck beside the genotype: ``out_channels`` (default: the detector's own),
            ``stack_times`` (default 3, as the paper's search), ``norm_cfg`` (default BN), ``init_cfg``.
    """

    def __init__(self, num_cells: int = 7, levels: Sequence[int] = (3, 4, 5, 6, 7), ops: Sequence[str] = ('sum', 'gp'),
                 gp_mode: str = 'reference', top: str = 'pool', conv_bias: bool = True, neck: Optional[Mapping] = None):
        self.levels = tuple(levels)
        self.num_cells = num_cells
        self.ops = tuple(ops)
        self.gp_mode, self.top, self.conv_bias = gp_mode, top, conv_bias
        self.neck = dict(neck or {})
        self.num_intermediate = num_cells - len(self.levels)
        self._check_arguments()
        pool = len(self.levels) + num_cells - 1
        pairs = tuple((low, high) for high in range(pool) for low in range(high))    # a smaller pool has a prefix
        self.vocab = dict(pair=pairs, level=self.levels, op=self.ops)

    def _check_arguments(self) -> None:
        from nasdet.models.layers.merging import OPS, check_genotype  # brings torch and mmdet
        check_genotype(dict(self._settings(), cells=[]))
        if len(self.levels) < 2 or self.num_intermediate < 0:
            raise ValueError(f'MergingCellSpace needs at least two levels and a cell for each: '
                             f'num_cells={self.num_cells}, levels={list(self.levels)}')
        if not self.ops or not set(self.ops) <= set(OPS):
            raise ValueError(f'ops are among {OPS}, not {self.ops}')
        known = {'out_channels', 'stack_times', 'norm_cfg', 'init_cfg'}
        if not self.neck.keys() <= known:
            raise ValueError(f'neck takes {sorted(known)}, not {sorted(self.neck.keys() - known)}')
        for name in ('out_channels', 'stack_times'):
            if not isinstance(self.neck.get(name, 1), int) or self.neck.get(name, 1) < 1:
                raise ValueError(f'neck: {name} is a whole number, at least 1, not {self.neck[name]!r}')

    def _settings(self) -> dict:
        return dict(levels=list(self.levels), gp_mode=self.gp_mode, top=self.top, conv_bias=self.conv_bias)

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``: pair, level and operation of each cell in turn."""
        index, decision = divmod(len(prefix), len(DECISIONS))
        if index == self.num_cells:
            return None
        kind = DECISIONS[decision]
        if kind == 'pair':
            legal = tuple(range(math.comb(len(self.levels) + index, 2)))
        elif kind == 'op':
            legal = tuple(range(len(self.ops)))
        elif index < self.num_intermediate:
            legal = tuple(range(1, len(self.levels)))
        else:
            produced = prefix[self.num_intermediate * len(DECISIONS) + 1::len(DECISIONS)]
            legal = tuple(token for token in range(len(self.levels)) if token not in produced)
        return Choice(f'cell{index}.{kind}', kind, legal)

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        taken = [self.vocab[choice.kind][token] for choice, token in self.walk(tuple(tokens))]
        if len(taken) != self.num_cells * len(DECISIONS):
            raise ValueError(f'{self.name}: {self.num_cells} cells take {self.num_cells * len(DECISIONS)} tokens, '
                             f'not {len(taken)}')
        return self._genotype(zip(taken[1::3], taken[2::3], taken[::3], strict=True))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        cells = self._read(genotype)
        tokens: tuple[int, ...] = ()
        for cell in cells:
            for value in (cell.inputs, cell.level, cell.op):
                choice = self.choices(tokens)
                vocabulary = self.vocab[choice.kind]
                if value not in vocabulary or vocabulary.index(value) not in choice.legal:
                    legal = [vocabulary[token] for token in choice.legal]
                    raise ValueError(f'{choice.name} is {value!r}, but this space allows {legal}')
                tokens += (vocabulary.index(value),)
        return tokens

    def _read(self, genotype: Genotype) -> tuple:
        """Return the cells, unused features resolved, of a genotype with this space's settings."""
        from nasdet.models.layers.merging import read_cells
        value = genotype.plain()
        cells = read_cells(value)
        for name, own in self._settings().items():
            if value[name] != own:
                raise ValueError(f'this space has {name}={own!r}, the genotype {value[name]!r}')
        if len(cells) != self.num_cells:
            raise ValueError(f'this space has num_cells={self.num_cells}, the genotype has {len(cells)} cells')
        return cells

    def _genotype(self, cells) -> Genotype:
        cells = [dict(level=level, op=op, inputs=list(inputs), output=index >= self.num_intermediate)
                 for index, (level, op, inputs) in enumerate(cells)]
        return Genotype(self.name, dict(self._settings(), cells=cells))

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the one genotype for all that merge the same features, unused ones included."""
        return self._genotype(canonical_cells(self._read(genotype), self.levels))

    def size(self) -> int:
        """Return the number of genotypes, before symmetries: 1.93e15 in the paper's setting."""
        pairs = math.prod(math.comb(len(self.levels) + index, 2) for index in range(self.num_cells))
        levels = (len(self.levels) - 1) ** self.num_intermediate * math.factorial(len(self.levels))
        return pairs * levels * len(self.ops) ** self.num_cells

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new model config whose neck has the genotype.

        Args:
            genotype: One of this space.
            model: A detector's model config; it is not changed.
        """
        self.encode(genotype)
        return self._with_neck(model, dict(type='MergingCellFPN', genotype=genotype.plain(), num_outs=len(self.levels)))

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose neck holds the weights of all genotypes; ``model`` is not changed."""
        return self._with_neck(model, dict(type='MergingCellSupernet', num_cells=self.num_cells, **self._settings()))

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where levels or channels do not fit a detector's backbone or heads."""
        detector.check(self.supernet(model))
        detector.check_channels(self.apply(self.sample(np.random.default_rng(0)), model))

    def _with_neck(self, model: Mapping, neck: dict) -> ConfigDict:
        if not isinstance(model.get('neck'), Mapping):
            raise ValueError(f'MergingCellSpace replaces the one neck of a detector, and in this model config neck is '
                             f'{model.get("neck")}')
        strides = detector.backbone_strides(model['backbone'])
        finest = 2 ** self.levels[0]
        if finest not in strides:
            raise ValueError(f'level {self.levels[0]} has stride {finest}, but the backbone gives maps of the strides '
                             f'{strides}: change levels of the space, or out_indices of the backbone')
        options = {'out_channels': model['neck'].get('out_channels'), 'stack_times': 3, 'norm_cfg': dict(type='BN'),
                   **self.neck}
        if options['out_channels'] is None:
            raise ValueError('the neck in this model config has no out_channels: give the space '
                             'neck=dict(out_channels=...)')
        applied = detector.neck_width_to_heads(model, options['out_channels'])
        applied['neck'] = ConfigDict(copy.deepcopy({
            **neck, **options, 'in_channels': detector.backbone_channels(model['backbone']),
            'start_level': strides.index(finest)}))
        return applied

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return inputs and cells by column, levels by row; an edge that the rule for unused features adds says so."""
        graph = Graph()
        for offset, level in enumerate(self.levels):
            graph.nodes.append(dict(id=offset, label=f'P{level}', column=0, row=level, kind='input'))
        for index, cell in enumerate(self._read(genotype)):
            offset = len(self.levels) + index
            kind = 'output' if cell.output else 'intermediate'
            graph.nodes.append(dict(id=offset, label=cell.op, column=index + 1, row=cell.level, kind=kind))
            graph.edges.extend((source, offset, '') for source in cell.inputs)
            graph.edges.extend((source, offset, 'unused') for source in cell.unused)
        return graph
