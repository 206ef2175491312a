"""The weight-shared network of ENAS's micro search.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.4; what the paper leaves open is as in the authors' code.
"""

from typing import Mapping, Optional, Sequence, Union

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.layers.cells import (
    AuxiliaryHead,
    CellGraph,
    Dialect,
    SharedCell,
    build_stem,
    check_skeleton,
    read_cells,
    stack_of_cells,
)
from nasdet.models.layers.cells.convolutions import FactorizedReduction
from nasdet.models.layers.layout import training_layout

BATCH_STATISTICS = dict(type='BN', track_running_stats=False)


@MODELS.register_module()
class ENASMicroSupernet(BaseModule):
    """Holds the weights of all pairs of cells; only the path's operations run, the others get no gradient (None).

    Its graph is not that of the networks that are trained at the end (:class:`~nasdet.models.backbones.CellNetwork`),
    so that none of them can be extracted from it:

    - all operations have stride 1: a reduction is a factorized one before the cell, not inside it;
    - each block has other weights for each state that it may read;
    - a cell's output is brought back to its width by a convolution, so that the next cell's input does not depend on
      how many states are concatenated;
    - an input of a cell that has its width already passes as it is, and the second is not projected once more.

    A path is always run with the statistics of the batch, for a reward too, as in the authors' code: running ones would
    be a mixture over all paths.

    Args:
        num_blocks: Blocks of a cell.
        ops: Operations to choose from.
        dialect: ``convs`` and ``pool_norm`` of the genotypes, and their ``inputs`` and ``strided_id``, which only the
            final networks have (:class:`~nasdet.models.layers.cells.dialect.Dialect`).
        num_cells: Normal cells of each stage.
        width: Channels of a state in the first stage.
        num_classes: Classes K.
        stem_channels: Channels of the stem; None: 3 x width.
        auxiliary: Whether there is an auxiliary head.
        auxiliary_head: Of that head: ``cell``, the cell whose output it reads (by default the one after the last
            reduction), and the arguments of :class:`~nasdet.models.layers.cells.AuxiliaryHead`.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        norm_cfg: Normalisation; by default without running statistics.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: There is no such network.
    """

    def __init__(self, num_blocks: int, ops: Sequence[str], dialect: Mapping, num_cells: Sequence[int], width: int,
                 num_classes: int, stem_channels: Optional[int] = None, auxiliary: bool = False,
                 auxiliary_head: Optional[Mapping] = None, dropout: float = 0.0, fc_bias: bool = True,
                 norm_cfg: Mapping = BATCH_STATISTICS, init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        check_skeleton(num_cells, width, 'cifar')
        self.num_blocks, self.ops, self.said = num_blocks, tuple(ops), dict(dialect)
        self.dialect = Dialect.of(dict(dialect, inputs='enas'), 'symmetric', norm_cfg)
        self.stack = stack_of_cells(num_cells, width, stem_cells=False)
        self.path: Optional[dict[str, CellGraph]] = None
        self.stem = build_stem('cifar', stem_channels, width, self.dialect)
        self.reductions = nn.ModuleDict()
        self.cells = nn.ModuleList()
        channels = self._add_cells()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes, bias=fc_bias)
        self.auxiliary_cell, self.auxiliary_head = None, None
        if auxiliary:
            self._add_auxiliary_head(num_classes, dict(auxiliary_head or {}))

    def _add_cells(self) -> int:
        """Build the cells and return the channels of the last."""
        first = channels = self.stem.channels[1]
        halve_first = False
        for index, slot in enumerate(self.stack):
            if slot.kind == 'reduce':
                self.reductions[str(index)] = FactorizedReduction(channels, slot.width, self.dialect)
                first, channels, halve_first = channels, slot.width, True
            self.cells.append(SharedCell(self.num_blocks, self.ops, (first, channels), slot.width, halve_first,
                                         self.dialect))
            first, channels, halve_first = channels, slot.width, False      # both as large as the last output
        return channels

    def _add_auxiliary_head(self, num_classes: int, head: dict) -> None:
        after_reduction = max((index + 1 for index, slot in enumerate(self.stack) if slot.kind == 'reduce'), default=0)
        self.auxiliary_cell = head.pop('cell', after_reduction)
        if self.auxiliary_cell not in range(len(self.stack)):
            raise ValueError(f"auxiliary_head's cell is one of 0 to {len(self.stack) - 1}, not {self.auxiliary_cell}")
        self.auxiliary_head = AuxiliaryHead(self.stack[self.auxiliary_cell].width, num_classes, self.dialect, **head)

    def set_path(self, value: Mapping) -> None:
        """Choose the genotype that forward() runs.

        Args:
            value: Plain value of an ENASMicroSpace genotype.

        Raises:
            ValueError: Not a genotype of this supernet.
        """
        graphs = read_cells(value)
        for name, own in self.said.items():
            if value[name] != own:
                raise ValueError(f'this supernet has {name}={own!r}, the genotype {value[name]!r}')
        for kind, graph in graphs.items():
            unknown = {op for block in graph.blocks for op in block.ops} - set(self.ops)
            if unknown or {block.combine for block in graph.blocks} != {'add'}:
                raise ValueError(f'this supernet adds the operations {", ".join(self.ops)}; the {kind} cell has other '
                                 f'ones, or concatenates: {value[kind]}')
            if len(graph.blocks) != self.num_blocks:
                raise ValueError(f'cells of this supernet have {self.num_blocks} blocks, the {kind} cell of the '
                                 f'genotype {len(graph.blocks)}')
        self.path = graphs

    def forward(self, images: Tensor) -> Union[Tensor, tuple[Tensor, Tensor]]:
        """Run the path.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            Logits (N, K); with the auxiliary head, in training, (logits, auxiliary logits).
        """
        if self.path is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        first = last = self.stem(training_layout(images, self.training))[1]
        auxiliary = None
        for index, (slot, cell) in enumerate(zip(self.stack, self.cells, strict=True)):
            if slot.kind == 'reduce':
                first, last = last, self.reductions[str(index)](last)
            first, last = last, cell(first, last, self.path[slot.kind])
            if self.training and index == self.auxiliary_cell:
                auxiliary = self.auxiliary_head(last)
        logits = self.fc(self.dropout(F.relu(last).mean(dim=(2, 3))))
        return logits if auxiliary is None else (logits, auxiliary)
