"""Costs: how dear an architecture is, told without training it."""

from nasdet.costs.additive import AdditiveMacs
from nasdet.costs.complexity import Macs, Params, count

__all__ = ['AdditiveMacs', 'Macs', 'Params', 'count']
