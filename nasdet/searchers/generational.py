"""Evolution in generations, over any space.

Chen, Yang, Zhang, Meng, Xiao, Sun, "DetNAS: Backbone Search for Object Detection", NeurIPS 2019, arXiv:1903.10979,
section "Search algorithm".
"""

from typing import Iterator, Optional

import numpy as np

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal, Result
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.searchers.individuals import Individual, from_json, rank, to_json
from nasdet.spaces.base import Space

TRIES_PER_CHILD = 10
RANDOM_TRIES = 100


@SEARCHERS.register_module()
class GenerationalEvolutionSearcher(Searcher):
    """Breeds one generation after the other from the best individuals of all generations so far.

    The first generation is random. Each later one holds mutations of a parent, crossovers of two parents (both drawn
    uniformly, with replacement) and random draws; it is bred when all results of the one before are there. No network
    is proposed twice, nor one that a cost refused. A refused child leaves its place to another try; a failed one has
    cost an evaluation and keeps its place, but is never a parent. Mutation and crossover may try 10 times their
    share, repeats and refusals included; what they cannot fill is filled with random draws.

    A mutation re-draws each decision with probability ``rate`` among all legal tokens, its own included, as in the
    paper; :meth:`Space.mutate` is not used, since it re-draws to another token and so changes more at equal rate.
    A child that equals its parent is a repeat, and counts as a try.

    The search ends after ``population * generations`` evaluations, or after ``budget.trials`` if those are fewer, or
    when every network of the space was proposed.

    Args:
        space: The space searched.
        population: Evaluations in a generation.
        generations: Number of generations, the first included.
        parents: How many of the best individuals breed; of equal rewards the earlier trial is better.
        mutations: Children of a generation that are mutations.
        crossovers: Children of a generation that are crossovers; the rest is random.
        rate: Probability of a mutation to re-draw a decision.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, space: Space, population: int = 50, generations: int = 20, parents: int = 10,
                 mutations: int = 20, crossovers: int = 20, rate: float = 0.1):
        super().__init__(space)
        if min(population, generations, parents) < 1:
            raise ValueError(f'population, generations and parents must be at least 1, not {population}, '
                             f'{generations}, {parents}')
        if min(mutations, crossovers) < 0 or mutations + crossovers > population:
            raise ValueError(f'{mutations} mutations and {crossovers} crossovers are no part of a population of '
                             f'{population}')
        if not 0 < rate <= 1:
            raise ValueError(f'rate must be a probability above 0, not {rate}')
        self.population = population
        self.generations = generations
        self.num_parents = parents
        self.shares = dict(mutation=mutations, crossover=crossovers)
        self.rate = rate
        self.generation = 0                     # generations that are complete
        self.parents: list[Individual] = []     # the best of them, best first
        self._begin_generation()
        self._visit(set())

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return a child of the generation under way, or None while that waits for its results."""
        if self.generation == self.generations or self._unvisited is None or self._full:
            return None
        tries = dict(mutation=0, crossover=0)
        for kind, breed in (('mutation', self._mutate), ('crossover', self._cross)):
            while tries[kind] < self._tries_left(kind):
                tries[kind] += 1
                child, parents = breed(rng)
                if self._is_new(child):
                    return self._propose(child, kind, parents, tries)
        return self._propose(self._random(rng), 'random', [], tries)

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Count the child and its tries, and never propose its network again."""
        self.open += 1
        self.children[proposal.meta['kind']] += 1
        for kind, tries in proposal.meta['tries'].items():
            self.tries[kind] += tries
        self.visited.add(self.space.key(proposal.genotype))
        self._skip_visited()

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Take a result; the last one of a generation completes it, and the parents are chosen anew."""
        self.open -= 1
        if result.status == 'refused':
            self.children[proposal.meta['kind']] -= 1
        elif result.status == 'ok':
            self.scored.append(Individual(trial, proposal.genotype, result.reward))
        if self._full and self.open == 0:
            self.generation += 1
            self.parents = sorted(self.parents + self.scored, key=rank)[:self.num_parents]
            self._begin_generation()

    @property
    def finished(self) -> bool:
        """Whether the last generation is complete, or the space has nothing left."""
        return self.generation == self.generations or (self._unvisited is None and self.open == 0)

    @property
    def ending(self) -> str:
        """Which of the two it is, in words."""
        if self.generation == self.generations:
            return f'all {self.generations} generations of {self.population} are evaluated'
        return f'every architecture of the space was proposed, in generation {self.generation + 1}'

    def state_dict(self) -> dict:
        """Return the generation under way, the parents, and the keys proposed so far."""
        return dict(generation=self.generation, parents=to_json(self.parents), scored=to_json(self.scored),
                    children=dict(self.children), tries=dict(self.tries), open=self.open,
                    visited=sorted(self.visited))

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.generation = state['generation']
        self.parents = from_json(state['parents'])
        self.scored = from_json(state['scored'])
        self.children = dict(state['children'])
        self.tries = dict(state['tries'])
        self.open = state['open']
        self._visit(set(state['visited']))

    # ---- the generation under way

    def _begin_generation(self) -> None:
        self.scored: list[Individual] = []
        self.children = dict(mutation=0, crossover=0, random=0)     # those refused do not count
        self.tries = dict(mutation=0, crossover=0)
        self.open = 0                                               # children without a result

    @property
    def _full(self) -> bool:
        return sum(self.children.values()) == self.population

    def _tries_left(self, kind: str) -> int:
        """Return how often mutation or crossover may still try; 0 while all of its share is bred."""
        if not self.parents or self.children[kind] == self.shares[kind]:
            return 0
        return max(0, TRIES_PER_CHILD * self.shares[kind] - self.tries[kind])

    def _parent(self, rng: np.random.Generator) -> Individual:
        return self.parents[rng.integers(len(self.parents))]

    def _mutate(self, rng: np.random.Generator) -> tuple[Genotype, list[int]]:
        parent = self._parent(rng)
        own = {choice.name: token for choice, token in self.space.walk(self.space.encode(parent.genotype))}
        tokens: tuple[int, ...] = ()
        while (choice := self.space.choices(tokens)) is not None:
            token = own.get(choice.name)
            if token not in choice.legal or rng.random() < self.rate:
                token = choice.legal[rng.integers(len(choice.legal))]
            tokens += (token,)
        return self.space.decode(tokens), [parent.trial]

    def _cross(self, rng: np.random.Generator) -> tuple[Genotype, list[int]]:
        a, b = self._parent(rng), self._parent(rng)
        return self.space.crossover(a.genotype, b.genotype, rng), [a.trial, b.trial]

    def _random(self, rng: np.random.Generator) -> Genotype:
        """Return a draw that is new; where hardly anything is, the first in the order of the decisions."""
        for _ in range(RANDOM_TRIES):
            child = self.space.sample(rng)
            if self._is_new(child):
                return child
        return self._unvisited

    def _propose(self, child: Genotype, kind: str, parents: list[int], tries: dict[str, int]) -> Proposal:
        meta = dict(generation=self.generation, kind=kind, parents=parents, tries=tries)
        return Proposal(child, self.space.encode(child), meta=meta)

    # ---- what was proposed, and what is left

    def _is_new(self, genotype: Genotype) -> bool:
        return self.space.key(genotype) not in self.visited

    def _visit(self, visited: set[str]) -> None:
        """Set what was proposed; the first of the rest, or None, says exactly whether there is any."""
        self.visited = visited
        self._rest = _every(self.space)
        self._unvisited: Optional[Genotype] = next(self._rest)
        self._skip_visited()

    def _skip_visited(self) -> None:
        while self._unvisited is not None and not self._is_new(self._unvisited):
            self._unvisited = next(self._rest, None)


def _every(space: Space) -> Iterator[Genotype]:
    """Yield every genotype of a space, in the order of its decisions, as it is asked for."""
    stack: list[tuple[int, ...]] = [()]
    while stack:
        tokens = stack.pop()
        choice = space.choices(tokens)
        if choice is None:
            yield space.decode(tokens)
        else:
            stack += [(*tokens, token) for token in reversed(choice.legal)]
