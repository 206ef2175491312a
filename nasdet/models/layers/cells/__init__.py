"""One cell module for NASNet, AmoebaNet, PNAS, ENAS and DARTS."""

from nasdet.models.layers.cells.auxiliary import AuxiliaryHead
from nasdet.models.layers.cells.cell import Cell
from nasdet.models.layers.cells.description import Block, CellGraph, check_genotype, read_cells
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.operations import OPERATIONS, Operation, build_operation
from nasdet.models.layers.cells.relaxed_cell import NONE, RelaxedCell, edge_of, num_edges
from nasdet.models.layers.cells.shared_cell import SharedCell
from nasdet.models.layers.cells.skeleton import Slot, check_skeleton, stack_of_cells
from nasdet.models.layers.cells.stems import build_stem

__all__ = ['NONE', 'OPERATIONS', 'AuxiliaryHead', 'Block', 'Cell', 'CellGraph', 'Dialect', 'Operation', 'RelaxedCell',
           'SharedCell', 'Slot', 'build_operation', 'build_stem', 'check_genotype', 'check_skeleton', 'edge_of',
           'num_edges', 'read_cells', 'stack_of_cells']
