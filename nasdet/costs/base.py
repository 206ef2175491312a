"""What a cost is: it says how dear an architecture is, without training it."""

from abc import ABC, abstractmethod
from typing import Mapping, Optional

from nasdet.costs.distribution import SumDistribution
from nasdet.genotype import Genotype
from nasdet.spaces.base import Space


class Cost(ABC):
    """Measures a genotype and refuses what exceeds a limit.

    Args:
        space: The space that applies genotypes.
        model: The detector's model config, before a genotype is applied; None where there is none.
        limit: The largest value allowed, in :attr:`unit`; None only reports.
        scope: The part of the model that is counted: ``'neck'``, ``'backbone'``, ``'model'``.
    """

    unit = ''

    def __init__(self, space: Space, model: Optional[dict] = None, limit: Optional[float] = None, scope: str = 'model'):
        self.space = space
        self.model = model
        self.limit = _number(limit)
        self.scope = scope

    @property
    def name(self) -> str:
        """Name in logs, history and reports: ``'Macs(neck)'``."""
        return f'{type(self).__name__}({self.scope})'

    @property
    def distribution(self) -> Optional[SumDistribution]:
        """How the cost is distributed over uniformly drawn architectures, where that is known exactly; else None."""
        return None

    @abstractmethod
    def __call__(self, genotype: Genotype) -> float:
        """Return the cost in :attr:`unit`; deterministic and cheap (about a second at most)."""


def _number(limit: Optional[float]) -> Optional[float]:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float))):
        hint = ''
        if isinstance(limit, Mapping):
            hint = '; a quantile is for a cost that knows its distribution over the space, such as AdditiveMacs'
        raise ValueError(f'the limit of a cost is a number, not {limit!r}{hint}')
    return limit
