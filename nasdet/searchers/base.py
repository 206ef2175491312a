"""What a searcher is: it proposes genotypes and is told their scores."""

from abc import ABC, abstractmethod
from typing import Optional

import numpy as np

from nasdet.protocol import Proposal, Result
from nasdet.spaces.base import Space


class Searcher(ABC):
    """Proposes what to try next.

    ``ask`` is pure; ``asked`` and ``tell`` are the only changes of state, so that the state is the fold of the
    recorded events and a search that was killed is rebuilt by replaying them.

    Args:
        space: The space searched.
    """

    many_objectives = False     # whether tell() understands a tuple of rewards
    needed_costs: tuple[str, ...] = ()      # names of the costs that tell() reads

    def __init__(self, space: Space):
        self.space = space

    @abstractmethod
    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return the proposal of a trial, or None while waiting for results; changes nothing."""

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Take note that a proposal was accepted under a trial number."""

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Take note of a result; failures and refusals are told too."""

    @property
    def finished(self) -> bool:
        """Whether the searcher has nothing more to propose."""
        return False

    @property
    def ending(self) -> str:
        """Why it is finished, in words."""
        return 'the searcher has finished'

    def state_dict(self) -> dict:
        """Return the whole state as JSON data (a tensor as nested lists or base64)."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
