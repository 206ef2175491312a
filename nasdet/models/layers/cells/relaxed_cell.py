"""A cell of DARTS's continuous relaxation: every edge is a mixture of all operations.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055, section 2.2; what the paper
leaves open is as in the authors' code.
"""

from typing import Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdet.models.layers.cells.cell import adjust_first, adjust_second, apply_alone
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.operations import Operation, build_operation

NONE = 'none'


def num_edges(num_blocks: int) -> int:
    """Return the edges of a cell in which each block reads all states before it."""
    return edge_of(num_blocks, 0)


def edge_of(block: int, state: int) -> int:
    """Return the number of an edge: those of block 0 come first, of each block in the order of the states read."""
    return block * (block + 3) // 2 + state


class RelaxedCell(nn.Module):
    """Holds, for each block and each state before it, all operations; their weighted sum is what the block makes.

    Equal to running each operation in turn, but:

    - operations without parameters (pooling with its normalisation, identity) give the same for all blocks that read a
      state, so that a state has them once;
    - the weight of any other operation is the scale of its last normalisation, which costs no pass over the map, and
      whose gradient its backward pass gives anyway;
    - ``none`` adds nothing, so it only takes its share of the softmax.

    Args:
        num_blocks: Blocks of the cell.
        ops: The operations by the columns of the weights.
        in_channels: Channels of the outputs of the cell before the previous one and of the previous one; None for the
            first where there is none.
        width: Channels of each state made here.
        reduction: Whether the cell halves the resolution.
        halve_first: Whether the first input has twice the rows and columns of the second.
        dialect: Variants of the layers; its batch normalisation has no scale of its own.
    """

    def __init__(self, num_blocks: int, ops: Sequence[str], in_channels: tuple[Optional[int], int], width: int,
                 reduction: bool, halve_first: bool, dialect: Dialect):
        super().__init__()
        first, second = in_channels
        self.num_blocks, self.ops = num_blocks, tuple(ops)
        self.out_channels = num_blocks * width
        self.inputs = nn.ModuleList([adjust_first(first, width, halve_first, dialect),
                                     adjust_second(second, width, dialect)])
        self.shared = nn.ModuleList()       # by state: operations without parameters by name
        self.edges = nn.ModuleList(nn.ModuleDict() for _ in range(num_edges(num_blocks)))
        for state in range(num_blocks + 1):
            channels = second if state == 0 and first is None else width
            self._add_operations(state, channels, width, 2 if reduction and state < 2 else 1, dialect)

    def _add_operations(self, state: int, channels: int, width: int, stride: int, dialect: Dialect) -> None:
        shared, blocks = nn.ModuleDict(), self._readers(state)
        for name in (op for op in self.ops if op != NONE):
            operations = [build_operation(name, channels, width, stride, dialect) for _ in blocks]
            if not list(operations[0].parameters()):
                shared[name] = operations[0]
                continue
            for block, operation in zip(blocks, operations, strict=True):
                self.edges[edge_of(block, state)][name] = ScaledOperation(operation)
        self.shared.append(shared)

    def _readers(self, state: int) -> range:
        """Return the blocks after a state."""
        return range(max(state - 1, 0), self.num_blocks)

    def forward(self, before: Optional[Tensor], last: Tensor, weights: Tensor) -> Tensor:
        """Run the cell.

        Args:
            before: Output of the cell before the previous one (N, C0, H0, W0), None where there is none.
            last: Output of the previous cell (N, C1, H, W).
            weights: Of the operations (edges, operations).

        Returns:
            (N, blocks x width, H, W), or half of H and W, rounded up, for a reduction cell.
        """
        weights = [edge.unbind() for edge in weights.unbind()]
        states = [apply_alone(self.inputs[0], last if before is None else before), apply_alone(self.inputs[1], last)]
        sums: list[Optional[Tensor]] = [None] * self.num_blocks
        for state, shared in enumerate(self.shared):
            if state >= 2:
                states.append(sums[state - 2])      # complete: all states before it have been added
            source = _Source(states[state], shared)
            for block in self._readers(state):
                edge = edge_of(block, state)
                sums[block] = self._add_edge(sums[block], source, self.edges[edge], weights[edge])
        return torch.cat(sums, dim=1)

    def _add_edge(self, total: Optional[Tensor], source: '_Source', edge: Mapping[str, nn.Module],
                  weights: Sequence[Tensor]) -> Tensor:
        """Add an edge's mixture to what a block has so far; in place, as nothing has read that sum."""
        for name, weight in zip(self.ops, weights, strict=True):
            if name in source.maps:
                found = source.maps[name]
                total = found * weight if total is None else total.addcmul_(found, weight)
            elif name != NONE:
                found = edge[name](source.activated if edge[name].wants_relu else source.state, weight)
                total = found if total is None else total.add_(found)
        return total


class _Source:
    """A state, and what is computed of it once for all blocks that read it.

    Args:
        state: (N, C, H, W).
        shared: Operations without parameters by name.
    """

    def __init__(self, state: Tensor, shared: nn.ModuleDict):
        self.state, self.activated = state, F.relu(state)
        self.maps = {name: operation(self.activated if operation.wants_relu else state)
                     for name, operation in shared.items()}


class ScaledOperation(nn.Module):
    """An operation times a number: its last normalisation takes the number as its scale.

    Args:
        operation: Ends with a batch normalisation without a scale of its own.
    """

    def __init__(self, operation: Operation):
        super().__init__()
        name, norm = [(name, module) for name, module in operation.named_modules()
                      if isinstance(module, _BatchNorm)][-1]
        holder, _, last = name.rpartition('.')
        setattr(operation.get_submodule(holder), last, nn.Identity())
        self.layers, self.norm = operation, norm
        self.wants_relu = operation.wants_relu

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return ``scale``, a scalar, times the operation of (N, C, H, W)."""
        norm = self.norm
        # torch's backward pass of channels-last maps reads a scale as if it were contiguous, even one that is expanded
        scales = scale.repeat(norm.num_features)
        of_batch = norm.training or norm.running_mean is None
        return F.batch_norm(self.layers(x), norm.running_mean, norm.running_var, scales, None, of_batch, norm.momentum,
                            norm.eps)
