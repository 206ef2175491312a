"""A cell: a directed acyclic graph of operations on the outputs of the two cells before it."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.drop import drop_path
from torch import Tensor, nn

from nasdet.models.layers.cells.convolutions import FactorizedReduction, conv_norm
from nasdet.models.layers.cells.description import CellGraph
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.operations import Operation, build_operation, drops_path


class Cell(nn.Module):
    """Builds a cell's graph with weights of its own.

    In a reduction cell, operations that read state 0 or 1 have stride 2. States of the output that have another size
    or width than the cell are brought to it without a ReLU: by a factorized reduction, or a 1x1 convolution.

    Args:
        graph: What the genotype says of this kind of cell.
        in_channels: Channels of the outputs of the cell before the previous one and of the previous one; None for the
            first where there is none, so that state 0 is the second as it is.
        width: Channels of each state made here.
        reduction: Whether the cell halves the resolution.
        halve_first: Whether the first input has twice the rows and columns of the second.
        dialect: Variants of the layers.
    """

    def __init__(self, graph: CellGraph, in_channels: tuple[Optional[int], int], width: int, reduction: bool,
                 halve_first: bool, dialect: Dialect):
        super().__init__()
        self.graph, self.reduction = graph, reduction
        self.out_channels = len(graph.concat) * width
        self.drop_prob = 0.0        # of each operation's output, in training
        first, second = in_channels
        self.inputs = nn.ModuleList(
            [adjust_first(first, width, halve_first, dialect) if 0 in graph.used else Operation(wants_relu=False),
             adjust_second(second, width, dialect) if 1 in graph.used else Operation(wants_relu=False)])
        self.blocks = nn.ModuleList()
        self.drops = []     # whether drop-path applies to each operation
        channels = self._add_blocks([second if first is None else width, width], width, dialect)
        self.outputs = nn.ModuleDict()
        for state in graph.concat:
            if reduction and state < 2:
                self.outputs[str(state)] = FactorizedReduction(channels[state], width, dialect)
            elif channels[state] != width:
                self.outputs[str(state)] = conv_norm(channels[state], width, 1, dialect)

    def _add_blocks(self, channels: list[int], width: int, dialect: Dialect) -> list[int]:
        """Build the operations and return the channels of all states."""
        for block in self.graph.blocks:
            edges = [(op, state, 2 if self.reduction and state < 2 else 1)
                     for op, state in zip(block.ops, block.states, strict=True)]
            self.blocks.append(nn.ModuleList(
                build_operation(op, channels[state], width, stride, dialect) for op, state, stride in edges))
            self.drops.append([drops_path(op, stride, dialect) for op, _, stride in edges])
            channels = [*channels, width if block.combine == 'add' else 2 * width]
        return channels

    def forward(self, before: Optional[Tensor], last: Tensor) -> Tensor:
        """Run the cell.

        Args:
            before: Output of the cell before the previous one (N, C0, H0, W0), None where there is none.
            last: Output of the previous cell (N, C1, H, W).

        Returns:
            (N, states of the output x width, H, W), or half of H and W, rounded up, for a reduction cell.
        """
        first = apply_alone(self.inputs[0], last if before is None else before)
        states = States(first, apply_alone(self.inputs[1], last))
        for block, operations, drops in zip(self.graph.blocks, self.blocks, self.drops, strict=True):
            halves = [self._drop(states.apply(operation, name, state), droppable) for operation, name, state, droppable
                      in zip(operations, block.ops, block.states, drops, strict=True)]
            states.append(halves[0] + halves[1] if block.combine == 'add' else torch.cat(halves, dim=1))
        return torch.cat([self._output(states.values[state], str(state)) for state in self.graph.concat], dim=1)

    def _drop(self, x: Tensor, droppable: bool) -> Tensor:
        return drop_path(x, self.drop_prob, self.training) if droppable else x

    def _output(self, x: Tensor, state: str) -> Tensor:
        return self.outputs[state](x) if state in self.outputs else x


class States:
    """The states of a running cell; the ReLU of one, and a pooling of one, are computed once however many read them.

    Args:
        first: State 0 (N, C, H, W).
        second: State 1.
    """

    def __init__(self, first: Tensor, second: Tensor):
        self.values = [first, second]
        self._activated: dict[int, Tensor] = {}
        self._pooled: dict[tuple[str, int], Tensor] = {}

    def append(self, value: Tensor) -> None:
        """Add the next state."""
        self.values.append(value)

    def apply(self, operation: Operation, name: str, state: int) -> Tensor:
        """Return what an operation, known by a name, makes of a state."""
        if operation.has_weights:
            return operation(self._activate(state) if operation.wants_relu else self.values[state])
        if (name, state) not in self._pooled:
            self._pooled[name, state] = operation(self.values[state])
        return self._pooled[name, state]

    def _activate(self, state: int) -> Tensor:
        if state not in self._activated:
            self._activated[state] = F.relu(self.values[state])
        return self._activated[state]


def apply_alone(operation: Operation, x: Tensor) -> Tensor:
    """Return what an operation makes of a map that nothing else reads, with the ReLU that it wants."""
    return operation(F.relu(x) if operation.wants_relu else x)


def adjust_first(channels: Optional[int], width: int, halve: bool, dialect: Dialect) -> Operation:
    """Return what brings an input to a cell's width: state 0, and in ENAS's shared network both.

    Args:
        channels: Of the input; None where the cell has no such input.
        width: Of the cell.
        halve: Whether the input has twice the rows and columns of the cell's states.
        dialect: Variants of the layers.
    """
    if channels is None:
        return Operation(wants_relu=False)
    if halve:
        return Operation(wants_relu=True, reduction=FactorizedReduction(channels, width, dialect))
    if channels != width or dialect.inputs == 'darts':
        return Operation(wants_relu=True, project=conv_norm(channels, width, 1, dialect))
    return Operation(wants_relu=False)


def adjust_second(channels: int, width: int, dialect: Dialect) -> Operation:
    """Return what brings the previous cell's output to a cell's width: state 1.

    Args:
        channels: Of that output.
        width: Of the cell.
        dialect: Variants of the layers.
    """
    if dialect.inputs == 'enas' and channels != width:
        return Operation(wants_relu=True, project=conv_norm(channels, width, 1, dialect), relu=nn.ReLU(inplace=True),
                         again=conv_norm(width, width, 1, dialect))
    return Operation(wants_relu=True, project=conv_norm(channels, width, 1, dialect))
