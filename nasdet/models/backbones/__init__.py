"""Backbones that mmdet does not have."""

from nasdet.models.backbones.cell_network import CellNetwork
from nasdet.models.backbones.detnas import DetNASNet
from nasdet.models.backbones.detnas_supernet import DetNASSupernet
from nasdet.models.backbones.enas_macro_net import ENASMacroNet
from nasdet.models.backbones.enas_macro_supernet import ENASMacroSupernet
from nasdet.models.backbones.enas_micro_supernet import ENASMicroSupernet
from nasdet.models.backbones.mbconv_net import MBConvNet
from nasdet.models.backbones.mbconv_supernet import MBConvSupernet
from nasdet.models.backbones.relaxed_cells import RelaxedCellNetwork
from nasdet.models.backbones.resnet10 import ResNet10

__all__ = ['CellNetwork', 'DetNASNet', 'DetNASSupernet', 'ENASMacroNet', 'ENASMacroSupernet', 'ENASMicroSupernet',
           'MBConvNet', 'MBConvSupernet', 'RelaxedCellNetwork', 'ResNet10']
