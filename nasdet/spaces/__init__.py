"""Search spaces: what can be built."""

from nasdet.spaces.cells_published import AmoebaNetSpace, DARTSSpace, ENASMicroSpace, NASNetSpace, PNASSpace
from nasdet.spaces.choice_blocks import ChoiceBlockSpace
from nasdet.spaces.elastic import ElasticSpace
from nasdet.spaces.enas_macro import ENASMacroSpace
from nasdet.spaces.merging_cells import MergingCellSpace
from nasdet.spaces.product import ProductSpace
from nasdet.spaces.widths import WidthSpace

__all__ = ['AmoebaNetSpace', 'ChoiceBlockSpace', 'DARTSSpace', 'ENASMacroSpace', 'ENASMicroSpace', 'ElasticSpace',
           'MergingCellSpace', 'NASNetSpace', 'PNASSpace', 'ProductSpace', 'WidthSpace']
