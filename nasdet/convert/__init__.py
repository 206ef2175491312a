"""Weights from elsewhere, made ready for our networks."""

from nasdet.convert.backbones import backbone_to_detector
from nasdet.convert.cells import darts, timm_nasnetalarge, timm_pnasnet5large
from nasdet.convert.megvii import detnas
from nasdet.convert.nas_fpn import mmdet_nasfpn, to_mmdet_nasfpn

__all__ = ['backbone_to_detector', 'darts', 'detnas', 'mmdet_nasfpn', 'timm_nasnetalarge', 'timm_pnasnet5large',
           'to_mmdet_nasfpn']
