"""Costs: how dear an architecture is, told without training it."""

from nasdet.costs.additive import AdditiveMacs
from nasdet.costs.complexity import Macs, Params, count
from nasdet.costs.latency import Latency

__all__ = ['AdditiveMacs', 'Latency', 'Macs', 'Params', 'count']
