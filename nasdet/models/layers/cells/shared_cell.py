"""A cell of ENAS's shared network: every choice of every block, of which one path runs.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.4; what the paper leaves open is as in the authors' code.
"""

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdet.models.layers.cells.cell import States, adjust_first, apply_alone
from nasdet.models.layers.cells.convolutions import norm
from nasdet.models.layers.cells.description import CellGraph
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.operations import build_operation


class SharedCell(nn.Module):
    """Holds an operation of its own for each block, half, state read and name; all of stride 1.

    What no path reads is not computed and gets no gradient (None).

    Args:
        num_blocks: Blocks of the cell.
        ops: Operations to choose from.
        in_channels: Channels of the outputs of the cell before the previous one and of the previous one.
        width: Channels of each state, and of the output.
        halve_first: Whether the first input has twice the rows and columns of the second.
        dialect: Variants of the layers.
    """

    def __init__(self, num_blocks: int, ops: Sequence[str], in_channels: tuple[int, int], width: int,
                 halve_first: bool, dialect: Dialect):
        super().__init__()
        first, second = in_channels
        self.inputs = nn.ModuleList([adjust_first(first, width, halve_first, dialect),
                                     adjust_first(second, width, False, dialect)])
        self.blocks = nn.ModuleList()   # by block, half and state read: the operations by name
        for states in range(2, 2 + num_blocks):
            self.blocks.append(nn.ModuleList(
                nn.ModuleList(nn.ModuleDict({op: build_operation(op, width, width, 1, dialect) for op in ops})
                              for _ in range(states)) for _ in range(2)))
        self.output = LooseEnds(2 + num_blocks, width, dialect)

    def forward(self, before: Tensor, last: Tensor, graph: CellGraph) -> Tensor:
        """Run one path.

        Args:
            before: Output of the cell before the previous one (N, C0, H0, W0).
            last: Output of the previous cell (N, C1, H, W).
            graph: The path.

        Returns:
            (N, width, H, W).
        """
        states = States(apply_alone(self.inputs[0], before), apply_alone(self.inputs[1], last))
        for block, halves in zip(graph.blocks, self.blocks, strict=True):
            first, second = (states.apply(choices[state][op], op, state)
                             for choices, state, op in zip(halves, block.states, block.ops, strict=True))
            states.append(first + second)
        return self.output(states.values, graph.concat)


class LooseEnds(nn.Module):
    """ReLU, 1x1 convolution of the concatenation of some states, normalisation.

    Which states there are differs from path to path, so each has a slice of the convolution's weight for its own.

    Args:
        num_states: States of the cell.
        width: Channels of each, and of the output.
        dialect: Its normalisation follows.
    """

    def __init__(self, num_states: int, width: int, dialect: Dialect):
        super().__init__()
        self.slices = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(num_states))
        self.norm = norm(width, dialect)

    def forward(self, states: Sequence[Tensor], concat: Sequence[int]) -> Tensor:
        """Return (N, width, H, W) from the states (N, width, H, W) whose numbers are in ``concat``."""
        weight = torch.cat([self.slices[state].weight for state in concat], dim=1)
        joined = torch.cat([states[state] for state in concat], dim=1)
        return self.norm(F.conv2d(F.relu(joined), weight))
