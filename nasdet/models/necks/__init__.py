"""Necks: what joins a backbone's maps into a feature pyramid."""

from nasdet.models.necks.elastic_fpn import ElasticFPN
from nasdet.models.necks.merging_cell_fpn import MergingCellFPN
from nasdet.models.necks.merging_cell_supernet import MergingCellSupernet

__all__ = ['ElasticFPN', 'MergingCellFPN', 'MergingCellSupernet']
