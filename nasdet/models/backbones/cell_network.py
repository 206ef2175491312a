"""A network of cells, as classifier or as backbone of a detector.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1: a fixed stack of normal and reduction cells, whose depth and width are free.
"""

from typing import Mapping, Optional, Sequence, Union

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.cells import (
    AuxiliaryHead,
    Cell,
    Dialect,
    Slot,
    build_stem,
    check_skeleton,
    read_cells,
    stack_of_cells,
)


@MODELS.register_module()
class CellNetwork(BaseModule):
    """Stacks the cells of a genotype.

    Without ``out_indices`` it is a classifier. With them it is a backbone, of which map 0 is the last one before the
    first stage (stride 4 for images of ImageNet's size: the first stem cell's), and map i what stage i makes (strides
    8, 16, 32); cells after the last map asked for are left out. ``out_channels`` and ``strides`` say what each map is.

    Args:
        genotype: Plain value of a cell genotype (:func:`~nasdet.models.layers.cells.read_cells`), or the name of a
            published one (``'darts_v2_cifar'``).
        num_cells: Normal cells of each stage; there is one reduction cell more in every stage but the first. NASNet's N
            is ``(N, N, N)``, PNAS's ``(N, N - 1, N - 1)``, DARTS's L = 20 ``(6, 6, 6)``, its L = 14 ``(4, 4, 4)``.
        width: Channels F of a state in the first stage.
        stem: ``'cifar'``, ``'nasnet_imagenet'`` or ``'darts_imagenet'`` (:func:`build_stem`).
        stem_channels: Channels of the stem; None: the published ones.
        out_indices: The maps to return; None: a classifier.
        num_classes: Classes K of the classifier.
        auxiliary: Whether the classifier has its auxiliary head.
        auxiliary_head: Of that head: ``cell``, the cell whose output it reads, by its place in the whole stack (by
            default the last one before the last reduction), and the arguments of
            :class:`~nasdet.models.layers.cells.AuxiliaryHead`.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        final_relu: Whether a ReLU follows the last cell, and so every map that is returned.
        skip_reduction_input: Whether the cell after a reduction reads, in place of the reduction's second input, its
            first (the authors' large NASNet).
        drop_path: Probability that an operation's output is dropped for an image, at the end of a training and in the
            last cell (Zoph et al., section 3.1); :meth:`set_drop_path_progress` makes it grow.
        drop_path_by_depth: Whether the probability grows with the cell's place in the stack.
        padding: Where padding goes at stride 2: ``'symmetric'``, ``'same'`` (as TensorFlow, for its weights) or
            ``'timm'``.
        norm_cfg: Normalisation.
        frozen_stages: Stages whose weights and statistics stay as they are: 0 freezes what makes map 0, and so on; -1
            none.
        norm_eval: Whether normalisation uses its running statistics in training too.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: The genotype is none, or an argument does not fit.
    """

    def __init__(self, genotype: Union[str, Mapping], num_cells: Sequence[int], width: int, stem: str = 'cifar',
                 stem_channels: Optional[int] = None, out_indices: Optional[Sequence[int]] = None,
                 num_classes: int = 1000, auxiliary: bool = False, auxiliary_head: Optional[Mapping] = None,
                 dropout: float = 0.0, fc_bias: bool = True, final_relu: bool = True,
                 skip_reduction_input: bool = False, drop_path: float = 0.0, drop_path_by_depth: bool = True,
                 padding: str = 'symmetric', norm_cfg: Mapping = dict(type='BN'), frozen_stages: int = -1,
                 norm_eval: bool = False, init_cfg: Union[dict, list, None] = None):
        super().__init__(init_cfg=init_cfg)
        check_skeleton(num_cells, width, stem)
        value = genotype_value(genotype)
        self.graphs = read_cells(value)
        self.dialect = Dialect.of(value, padding, norm_cfg)
        stack = stack_of_cells(num_cells, width, stem == 'nasnet_imagenet')
        self.num_slots = len(stack)     # of the whole stack, on which drop-path depends
        self.out_indices = _check_out_indices(out_indices, len(num_cells))
        if self.out_indices:
            stack = [slot for slot in stack if slot.stage <= max(self.out_indices)]
        if frozen_stages not in range(-1, len(num_cells) + 1):
            raise ValueError(f'frozen_stages={frozen_stages}, but this network has {len(num_cells)} stages')
        if skip_reduction_input and 0 in num_cells:
            raise ValueError(f'skip_reduction_input needs a normal cell after every reduction, not num_cells='
                             f'{num_cells}')
        self.stack = stack
        self.final_relu, self.skip_reduction_input = final_relu, skip_reduction_input
        self.drop_path, self.drop_path_by_depth = drop_path, drop_path_by_depth
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.stem = build_stem(stem, stem_channels, width, self.dialect)
        self.cells = nn.ModuleList()
        self.out_channels, self.strides = self._add_cells()
        if self.out_indices is None:
            self._add_heads(num_classes, dropout, fc_bias, auxiliary, dict(auxiliary_head or {}))
        elif auxiliary:
            raise ValueError('only a classifier has an auxiliary head: with out_indices, set auxiliary=False')
        self.set_drop_path_progress(1.0)
        self._freeze()

    def _add_cells(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Build the cells and return the channels and strides of the maps."""
        (first, channels), (first_stride, stride) = self.stem.channels, self.stem.strides
        maps = {0: (channels if first is None else first, first_stride)}
        for slot in self.stack:
            reduction = slot.kind == 'reduce'
            graph = self.graphs[slot.kind]
            self.cells.append(Cell(graph, (first, channels), slot.width, reduction, first_stride < stride,
                                   self.dialect))
            if not self._keeps_first(slot):
                first, first_stride = channels, stride
            channels, stride = len(graph.concat) * slot.width, stride * (2 if reduction else 1)
            maps[slot.stage] = (channels, stride)
        return tuple(zip(*(maps[index] for index in sorted(maps)), strict=True))

    def _keeps_first(self, slot: Slot) -> bool:
        """Return whether the cell after this one reads the same first input."""
        return self.skip_reduction_input and slot.kind == 'reduce' and slot.stage > 1

    def _add_heads(self, num_classes: int, dropout: float, fc_bias: bool, auxiliary: bool, head: dict) -> None:
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.out_channels[-1], num_classes, bias=fc_bias)
        before_reduction = max((i - 1 for i, slot in enumerate(self.stack) if slot.kind == 'reduce'), default=0)
        self.auxiliary_cell = head.pop('cell', before_reduction)
        self.auxiliary_head = None
        if auxiliary:
            if self.auxiliary_cell not in range(len(self.stack)):
                raise ValueError(f"auxiliary_head's cell is one of 0 to {len(self.stack) - 1}, not "
                                 f'{self.auxiliary_cell}')
            slot = self.stack[self.auxiliary_cell]
            channels = len(self.graphs[slot.kind].concat) * slot.width
            self.auxiliary_head = AuxiliaryHead(channels, num_classes, self.dialect, **head)

    def forward(self, images: Tensor) -> Union[Tensor, tuple[Tensor, ...]]:
        """Run the network.

        Args:
            images: (N, 3, H, W), of any size.

        Returns:
            A backbone: the maps (N, C, ceil(H / stride), ceil(W / stride)) of ``out_indices``, in their order. A
            classifier: logits (N, K); with its auxiliary head, in training, (logits, auxiliary logits).
        """
        maps, auxiliary = self._run(images)
        if self.out_indices is not None:
            return tuple(self._finish(maps[index]) for index in self.out_indices)
        logits = self.fc(self.dropout(self._finish(maps[max(maps)]).mean(dim=(2, 3))))
        return logits if auxiliary is None else (logits, auxiliary)

    def _run(self, images: Tensor) -> tuple[dict[int, Tensor], Optional[Tensor]]:
        """Return the last map of each stage, and the auxiliary logits."""
        auxiliary = None
        first, last = self.stem(images)
        maps = {0: last if first is None else first}
        for index, (slot, cell) in enumerate(zip(self.stack, self.cells, strict=True)):
            output = cell(first, last)
            if not self._keeps_first(slot):
                first = last
            maps[slot.stage] = last = output
            if self.training and self.out_indices is None and self.auxiliary_head and index == self.auxiliary_cell:
                auxiliary = self.auxiliary_head(output)
        return maps, auxiliary

    def _finish(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.final_relu else x

    def set_drop_path_progress(self, progress: float) -> None:
        """Set the probabilities to drop a path for this moment of a training.

        Args:
            progress: The share of the training that is over, 0 to 1.
        """
        for index, cell in enumerate(self.cells):
            depth = (index + 1) / self.num_slots if self.drop_path_by_depth else 1.0
            cell.drop_prob = self.drop_path * progress * depth

    def train(self, mode: bool = True) -> 'CellNetwork':
        """Set training or evaluation mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        frozen = [self.stem] if self.frozen_stages >= 0 else []
        frozen += [cell for slot, cell in zip(self.stack, self.cells, strict=True) if slot.stage <= self.frozen_stages]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def _check_out_indices(out_indices: Optional[Sequence[int]], num_stages: int) -> Optional[tuple[int, ...]]:
    if out_indices is None:
        return None
    chosen = tuple(out_indices)
    if not chosen or len(set(chosen)) < len(chosen) or any(index not in range(num_stages + 1) for index in chosen):
        raise ValueError(f'out_indices are different maps among 0 to {num_stages}, at least one, not {list(chosen)}')
    return chosen
