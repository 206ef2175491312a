"""What networks of cells share: a stem, a stack of cells, and a classifier's linear layer.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1: a fixed stack of normal and reduction cells, whose depth and width are free.
"""

from typing import Callable, Optional, Sequence, Union

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.layers.cells import Dialect, Slot, build_stem, check_skeleton, stack_of_cells
from nasdet.models.layers.layout import training_layout

BuildCell = Callable[[Slot, tuple[Optional[int], int], bool], nn.Module]


class CellStack(BaseModule):
    """Stacks cells of any kind.

    Args:
        build_cell: Returns the cell of a slot, given the channels of its two inputs and whether the first has twice
            the rows and columns of the second; ``out_channels`` of a cell says what it makes.
        dialect: Of the stem's layers.
        num_cells: Normal cells of each stage; there is one reduction cell more in every stage but the first.
        width: Channels of a state in the first stage.
        stem: ``'cifar'``, ``'nasnet_imagenet'`` or ``'darts_imagenet'``
            (:func:`~nasdet.models.layers.cells.build_stem`).
        stem_channels: Channels of the stem; None: the published ones.
        out_indices: The maps to return; None: a classifier.
        num_classes: Classes K of the classifier.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        final_relu: Whether a ReLU follows the last cell, and so every map that is returned.
        skip_reduction_input: Whether the cell after a reduction reads, in place of the reduction's second input, its
            first.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: An argument does not fit.
    """

    def __init__(self, build_cell: BuildCell, dialect: Dialect, num_cells: Sequence[int], width: int, stem: str,
                 stem_channels: Optional[int], out_indices: Optional[Sequence[int]], num_classes: int, dropout: float,
                 fc_bias: bool, final_relu: bool, skip_reduction_input: bool, init_cfg: Union[dict, list, None]):
        super().__init__(init_cfg=init_cfg)
        check_skeleton(num_cells, width, stem)
        stack = stack_of_cells(num_cells, width, stem == 'nasnet_imagenet')
        self.num_slots = len(stack)     # of the whole stack, on which drop-path depends
        self.out_indices = _check_out_indices(out_indices, len(num_cells))
        if self.out_indices:
            stack = [slot for slot in stack if slot.stage <= max(self.out_indices)]
        if skip_reduction_input and 0 in num_cells:
            raise ValueError(f'skip_reduction_input needs a normal cell after every reduction, not num_cells='
                             f'{num_cells}')
        self.stack = stack
        self.final_relu, self.skip_reduction_input = final_relu, skip_reduction_input
        self.stem = build_stem(stem, stem_channels, width, dialect)
        self.cells = nn.ModuleList()
        self.out_channels, self.strides = self._add_cells(build_cell)
        if self.out_indices is None:
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(self.out_channels[-1], num_classes, bias=fc_bias)

    def _add_cells(self, build_cell: BuildCell) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Build the cells and return the channels and strides of the maps."""
        (first, channels), (first_stride, stride) = self.stem.channels, self.stem.strides
        maps = {0: (channels if first is None else first, first_stride)}
        for slot in self.stack:
            self.cells.append(build_cell(slot, (first, channels), first_stride < stride))
            if not self._keeps_first(slot):
                first, first_stride = channels, stride
            channels, stride = self.cells[-1].out_channels, stride * (2 if slot.kind == 'reduce' else 1)
            maps[slot.stage] = (channels, stride)
        return tuple(zip(*(maps[index] for index in sorted(maps)), strict=True))

    def _keeps_first(self, slot: Slot) -> bool:
        """Return whether the cell after this one reads the same first input."""
        return self.skip_reduction_input and slot.kind == 'reduce' and slot.stage > 1

    def _run_cell(self, slot: Slot, cell: nn.Module, before: Optional[Tensor], last: Tensor) -> Tensor:
        return cell(before, last)

    def _run(self, images: Tensor, keep: Optional[int] = None) -> tuple[dict[int, Tensor], Optional[Tensor]]:
        """Return the last map of each stage, and the output of the cell ``keep``."""
        kept = None
        first, last = self.stem(training_layout(images, self.training))
        maps = {0: last if first is None else first}
        for index, (slot, cell) in enumerate(zip(self.stack, self.cells, strict=True)):
            output = self._run_cell(slot, cell, first, last)
            if not self._keeps_first(slot):
                first = last
            maps[slot.stage] = last = output
            if index == keep:
                kept = output
        return maps, kept

    def _outputs(self, maps: dict[int, Tensor]) -> Union[Tensor, tuple[Tensor, ...]]:
        """Return the maps of ``out_indices``, or a classifier's logits (N, K)."""
        if self.out_indices is not None:
            return tuple(self._finish(maps[index]) for index in self.out_indices)
        return self.fc(self.dropout(self._finish(maps[max(maps)]).mean(dim=(2, 3))))

    def _finish(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.final_relu else x


def _check_out_indices(out_indices: Optional[Sequence[int]], num_stages: int) -> Optional[tuple[int, ...]]:
    if out_indices is None:
        return None
    chosen = tuple(out_indices)
    if not chosen or len(set(chosen)) < len(chosen) or any(index not in range(num_stages + 1) for index in chosen):
        raise ValueError(f'out_indices are different maps among 0 to {num_stages}, at least one, not {list(chosen)}')
    return chosen
