"""Search spaces: what can be built."""

from nasdet.spaces.choice_blocks import ChoiceBlockSpace
from nasdet.spaces.merging_cells import MergingCellSpace

__all__ = ['ChoiceBlockSpace', 'MergingCellSpace']
