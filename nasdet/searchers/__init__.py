"""Searchers: what to try next."""

from nasdet.searchers.base import Searcher
from nasdet.searchers.coarse_to_fine import CoarseToFineSearcher
from nasdet.searchers.evolution import EvolutionSearcher
from nasdet.searchers.generational import GenerationalEvolutionSearcher
from nasdet.searchers.listed import ListSearcher
from nasdet.searchers.progressive import ProgressiveSearcher
from nasdet.searchers.random import RandomSearcher
from nasdet.searchers.reinforce import ReinforceSearcher
from nasdet.searchers.uniform import UniformWidthSearcher

__all__ = ['CoarseToFineSearcher', 'EvolutionSearcher', 'GenerationalEvolutionSearcher', 'ListSearcher',
           'ProgressiveSearcher', 'RandomSearcher', 'ReinforceSearcher', 'Searcher',
           'UniformWidthSearcher']
