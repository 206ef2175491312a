"""Random search: the control for everything else."""

from typing import Optional

import numpy as np

from nasdet.protocol import Proposal
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.spaces.base import Space

DEDUP_TRIES = 100


@SEARCHERS.register_module()
class RandomSearcher(Searcher):
    """Proposes independent draws, each decision uniform over what is legal.

    Args:
        space: The space searched.
        dedup: Whether to draw again, up to 100 times, while the draw is a network that was proposed before.
    """

    many_objectives = True

    def __init__(self, space: Space, dedup: bool = False):
        super().__init__(space)
        self.dedup = dedup
        self.seen: set[str] = set()

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return a draw."""
        for _ in range(DEDUP_TRIES):
            tokens = self.space.draw(rng)
            genotype = self.space.decode(tokens)
            if not self.dedup or self.space.key(genotype) not in self.seen:
                break
        return Proposal(genotype, tokens)

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Remember the network where ``dedup`` is set."""
        if self.dedup:
            self.seen.add(self.space.key(proposal.genotype))

    def state_dict(self) -> dict:
        """Return the keys proposed so far, which stay empty without ``dedup``."""
        return dict(seen=sorted(self.seen))

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.seen = set(state['seen'])
