"""Selection from a single-stage supernet: a coarse grid first, then mutations of the best within each budget.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142, section 3.3, "coarse-to-fine architecture selection".
"""

from typing import Mapping, Optional, Sequence

import numpy as np

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal, Result
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.searchers.individuals import Individual, from_json, rank, to_json
from nasdet.spaces.base import Space

TRIES = 20      # mutations looked at for one that is new


@SEARCHERS.register_module()
class CoarseToFineSearcher(Searcher):
    """Proposes the space's coarse grid, then, for each budget in turn, mutations of the best architecture within it.

    The coarse grid must have been told before anything is mutated. A mutation that is dearer than the budget it was
    made for is kept for the larger ones; one over the largest is refused where the cost has it as its limit.

    Args:
        space: With ``coarse_grid``.
        mutations: Architectures proposed after the grid; 200 in a published re-implementation (XNAS).
        rate: Probability to re-draw each decision in a mutation.
        budgets: A cost's name and the values that it may have, such as ``{'Macs(backbone)': [2e8, 4e8, 6e8]}``;
            None: one budget, without a bound.

    Raises:
        ValueError: The space has no coarse grid, or an argument is out of its range.
    """

    def __init__(self, space: Space, mutations: int = 200, rate: float = 0.1,
                 budgets: Optional[Mapping[str, Sequence[float]]] = None):
        super().__init__(space)
        if not space.can('coarse_grid'):
            raise ValueError(f'CoarseToFineSearcher needs a space with coarse_grid(), {space.name} has none')
        if mutations < 0 or not 0 < rate <= 1:
            raise ValueError(f'mutations is at least 0 and rate above 0 up to 1, not {mutations} and {rate}')
        if budgets is not None and (len(budgets) != 1 or not all(budgets.values())):
            raise ValueError(f"budgets holds one cost with its values, {{'Macs(backbone)': [2e8, 4e8]}}, not {budgets}")
        self.cost, self.bounds = next(iter(budgets.items())) if budgets else (None, [None])
        self.bounds = sorted(self.bounds) if budgets else self.bounds
        self.needed_costs = (self.cost,) if budgets else ()
        self.mutations, self.rate = mutations, rate
        self.grid = list(space.coarse_grid())
        self.seen: set[str] = set()
        self.proposed = self.told = 0
        self.best: list[Optional[Individual]] = [None] * len(self.bounds)

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return the next architecture of the grid, then mutations; None while the grid's results are awaited."""
        if self.finished:
            return None
        if self.proposed < len(self.grid):
            return self._proposal(self.grid[self.proposed])
        if self.told < len(self.grid):
            return None
        held = [index for index, best in enumerate(self.best) if best is not None]
        if not held:        # all of the grid failed or was refused
            return self._proposal(self.space.sample(rng))
        index = held[(self.proposed - len(self.grid)) % len(held)]
        parent = self.best[index]
        return self._proposal(self._mutation(parent.genotype, rng), parent=parent.trial, bound=self.bounds[index])

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Count the proposal, and remember its network."""
        self.proposed += 1
        self.seen.add(self.space.key(proposal.genotype))

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Keep the best architecture within each budget."""
        self.told += 1
        if result.status != 'ok':
            return
        individual = Individual(trial, proposal.genotype, result.reward)
        for index, bound in enumerate(self.bounds):
            best = self.best[index]
            within = bound is None or result.costs[self.cost] <= bound
            if within and (best is None or rank(individual) < rank(best)):
                self.best[index] = individual

    @property
    def finished(self) -> bool:
        """Whether grid and mutations are proposed."""
        return self.proposed >= len(self.grid) + self.mutations

    @property
    def ending(self) -> str:
        """Why it is finished, in words."""
        return f'the grid of {len(self.grid)} and {self.mutations} mutations are proposed'

    def state_dict(self) -> dict:
        """Return what is proposed, told and best."""
        best = [to_json([one])[0] if one is not None else None for one in self.best]
        return dict(proposed=self.proposed, told=self.told, seen=sorted(self.seen), best=best)

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.proposed, self.told, self.seen = state['proposed'], state['told'], set(state['seen'])
        self.best = [from_json([one])[0] if one is not None else None for one in state['best']]

    def _mutation(self, parent: Genotype, rng: np.random.Generator) -> Genotype:
        """Return a mutation that was not proposed before, if one is found."""
        for _ in range(TRIES):
            child = self.space.mutate(parent, rng, self.rate)
            if self.space.key(child) not in self.seen:
                break
        return child

    def _proposal(self, genotype: Genotype, **meta) -> Proposal:
        return Proposal(genotype, self.space.encode(genotype), meta=meta)
