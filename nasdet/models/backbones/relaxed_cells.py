"""DARTS's continuous relaxation of a network of cells.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055; what the paper leaves open
is as in the authors' code.
"""

from dataclasses import replace
from typing import Mapping, Optional, Sequence, Union

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nasdet.models.backbones.cell_stack import CellStack
from nasdet.models.layers.cells import NONE, OPERATIONS, Dialect, RelaxedCell, Slot, edge_of, num_edges

KINDS = ('normal', 'reduce')
NORMS = ('BN', 'BN2d')      # whose scale an operation's weight can be


@MODELS.register_module()
class RelaxedCellNetwork(CellStack):
    """Stacks relaxed cells, which share two matrices of architecture parameters, one for each kind of cell.

    ``alphas.normal`` and ``alphas.reduce`` have a row an edge (those of block 0 first, of each block in the order of
    the states read) and a column an operation. :func:`~nasdet.training.bilevel.architecture_parameters` finds them by
    that name, to keep them out of the weights' optimiser.

    Normalisation in the cells has no scale and shift, which would make the mixture's weights meaningless, and
    follows poolings too. Where it is a classifier or a backbone is said as for
    :class:`~nasdet.models.backbones.CellNetwork`.

    Args:
        num_blocks: Intermediate nodes of a cell; each reads all states before it.
        ops: The operations of an edge; ``'none'`` may be one of them.
        dialect: ``inputs``, ``strided_id``, ``convs`` and ``pool_norm`` of the genotypes, of which the last is for the
            derived networks only (:class:`~nasdet.models.layers.cells.dialect.Dialect`).
        num_cells: Normal cells of each stage.
        width: Channels of a state in the first stage.
        stem: As of CellNetwork, and so the arguments below.
        stem_channels: See there.
        out_indices: See there.
        num_classes: See there.
        dropout: See there.
        fc_bias: See there.
        final_relu: See there.
        skip_reduction_input: See there.
        padding: See there.
        norm_cfg: Batch normalisation: its ``eps``, ``momentum`` and so on.
        alpha_std: Standard deviation of the normal distribution that architecture parameters are drawn from at first;
            the paper has 0, the authors' code 0.001.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: An argument does not fit.
    """

    def __init__(self, num_blocks: int, ops: Sequence[str], dialect: Mapping, num_cells: Sequence[int], width: int,
                 stem: str = 'cifar', stem_channels: Optional[int] = None, out_indices: Optional[Sequence[int]] = None,
                 num_classes: int = 1000, dropout: float = 0.0, fc_bias: bool = True, final_relu: bool = True,
                 skip_reduction_input: bool = False, padding: str = 'symmetric',
                 norm_cfg: Mapping = dict(type='BN'), alpha_std: float = 1e-3,
                 init_cfg: Union[dict, list, None] = None):
        _check_ops(ops)
        _check_norm(norm_cfg)
        self.num_blocks, self.ops, self.said = num_blocks, tuple(ops), dict(dialect)
        of_stem = Dialect.of(dialect, padding, norm_cfg)
        of_cells = replace(of_stem, norm_cfg=dict(norm_cfg, affine=False), pool_norm=True)

        def build_cell(slot, in_channels, halve_first):
            return RelaxedCell(num_blocks, ops, in_channels, slot.width, slot.kind == 'reduce', halve_first, of_cells)

        super().__init__(build_cell, of_stem, num_cells, width, stem, stem_channels, out_indices, num_classes, dropout,
                         fc_bias, final_relu, skip_reduction_input, init_cfg)
        shape = (num_edges(num_blocks), len(ops))
        self.alphas = nn.ParameterDict({kind: nn.Parameter(alpha_std * torch.randn(shape)) for kind in KINDS})

    def _run_cell(self, slot: Slot, cell: RelaxedCell, before: Optional[Tensor], last: Tensor) -> Tensor:
        return cell(before, last, self.alphas[slot.kind].softmax(dim=1))

    def forward(self, images: Tensor) -> Union[Tensor, tuple[Tensor, ...]]:
        """Run the network.

        Args:
            images: (N, 3, H, W), of any size.

        Returns:
            A backbone: the maps (N, C, ceil(H / stride), ceil(W / stride)) of ``out_indices``, in their order. A
            classifier: logits (N, K).
        """
        maps, _ = self._run(images)
        return self._outputs(maps)

    def derive(self) -> dict:
        """Return the plain value of the genotype that the architecture parameters say (section 2.4 of the paper)."""
        cells = {kind: derive_cell(self.alphas[kind].detach().softmax(dim=1), self.ops) for kind in KINDS}
        return {**cells, **self.said}


def derive_cell(weights: Tensor, ops: Sequence[str]) -> dict:
    """Return the cell in which each block has its two strongest edges, each with its strongest operation.

    An edge is as strong as its strongest operation; ``'none'`` takes part in the softmax, but is never chosen. Of
    equal ones the lower state, or the earlier operation, is stronger.

    Args:
        weights: Softmax over the operations of each edge (edges, operations).
        ops: Operation of each column.
    """
    chosen = [index for index, op in enumerate(ops) if op != NONE]
    blocks = []
    while (first := edge_of(len(blocks), 0)) < len(weights):
        edges = weights[first:edge_of(len(blocks) + 1, 0)].tolist()
        best = [max(chosen, key=edge.__getitem__) for edge in edges]
        strongest = sorted(range(len(edges)), key=lambda state: -edges[state][best[state]])[:2]
        blocks.append([said for state in strongest for said in (state, ops[best[state]])])
    return dict(blocks=blocks, concat=list(range(2, 2 + len(blocks))))


def _check_ops(ops: Sequence[str]) -> None:
    if not set(ops) <= set(OPERATIONS) or len(set(ops)) < len(ops) or not set(ops) - {NONE}:
        raise ValueError(f'ops are different ones of {", ".join(OPERATIONS)}, at least one besides {NONE}, not '
                         f'{list(ops)}')


def _check_norm(norm_cfg: Mapping) -> None:
    if norm_cfg.get('type') not in NORMS or norm_cfg.get('momentum', 0.1) is None:
        raise ValueError(f"a relaxation's normalisation is batch norm on one device with a momentum, as in "
                         f"norm_cfg=dict(type='BN', momentum=0.1), not {dict(norm_cfg)}")
