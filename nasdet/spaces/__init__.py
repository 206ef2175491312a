"""Search spaces: what can be built."""

from nasdet.spaces.merging_cells import MergingCellSpace

__all__ = ['MergingCellSpace']
