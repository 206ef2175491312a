"""The two kinds of search: the loop of asking and telling, and the search within one training."""

from nasdet.search.sampling import Search
from nasdet.search.trained import TrainedSearch

__all__ = ['Search', 'TrainedSearch']
