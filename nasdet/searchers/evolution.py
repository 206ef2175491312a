"""Ageing evolution, over any space.

Real, Aggarwal, Huang, Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
arXiv:1802.01548, section "Evolutionary algorithm".
"""

from typing import Optional, Sequence

import numpy as np

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal, Result
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.searchers.individuals import Individual, from_json, rank, to_json
from nasdet.spaces.base import Space

REMOVALS = ('oldest', 'worst')


@SEARCHERS.register_module()
class EvolutionSearcher(Searcher):
    """Breeds the winner of a tournament; the child pushes the oldest individual out.

    Random draws are proposed until the population is full. An individual enters when its result arrives, which is
    its age too; failed and refused children never enter. Any number of children may be in flight.

    Args:
        space: The space searched.
        population: Number of individuals alive, P in the paper.
        sample: Size of a tournament, S in the paper: drawn uniformly, with replacement.
        removal: Who makes room for a child: ``'oldest'`` (ageing evolution) or ``'worst'`` (the paper's non-ageing
            control: the worst of the tournament that bred the child).
        rate: Probability to re-draw each decision in a mutation; None re-draws exactly one.
        crossover: Probability that a child takes its decisions from the winners of two tournaments, and is mutated
            only where it equals one of them.
        identity: Probability that a mutation changes nothing (0.05 in the paper), so that a network proves itself
            again: the search needs ``reuse=False``, or the child is told its parent's result.
        redraws: Kinds of decisions that a mutation draws from all that is legal, so that it may draw what was there
            and change nothing; of other kinds it takes something else. The paper leaves open whether its mutation of
            an operation does (``('op',)``). Not together with ``rate``.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, space: Space, population: int = 100, sample: int = 25, removal: str = 'oldest',
                 rate: Optional[float] = None, crossover: float = 0.0, identity: float = 0.0,
                 redraws: Sequence[str] = ()):
        super().__init__(space)
        if population < 1 or sample < 1:
            raise ValueError(f'population and sample must be at least 1, not {population} and {sample}')
        if not 0 <= crossover <= 1 or not 0 <= identity <= 1:
            raise ValueError(f'crossover and identity are probabilities, not {crossover} and {identity}')
        if rate is not None and not 0 < rate <= 1:
            raise ValueError(f'rate is a probability above 0, or None, not {rate}')
        if unknown := sorted(set(redraws) - set(space.vocab)):
            raise ValueError(f'redraws are kinds of decisions of {space.name}, {", ".join(space.vocab)}, not '
                             f'{unknown[0]!r}')
        if redraws and rate is not None:
            raise ValueError('redraws is for a mutation that re-draws one decision: leave rate out')
        if removal not in REMOVALS:
            raise ValueError(f'removal must be one of {REMOVALS}, not {removal!r}')
        self.size = population
        self.sample = sample
        self.removal = removal
        self.rate = rate
        self.crossover = crossover
        self.identity = identity
        self.redraws = tuple(redraws)
        self.population: list[Individual] = []      # oldest first

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return a random draw while the population is not full, then the child of a tournament."""
        if len(self.population) < self.size:
            tokens = self.space.draw(rng)
            return Proposal(self.space.decode(tokens), tokens)
        tournament = self._tournament(rng)
        parents = [tournament[0]]
        if rng.random() < self.crossover:
            parents.append(self._tournament(rng)[0])
        child = self._breed([parent.genotype for parent in parents], rng)
        meta = dict(parents=[parent.trial for parent in parents], worst=tournament[-1].trial)
        return Proposal(child, self.space.encode(child), meta=meta)

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Let a child that was scored enter the population, and one individual leave a full one."""
        if result.status != 'ok':
            return
        self.population.append(Individual(trial, proposal.genotype, result.reward))
        if len(self.population) > self.size:
            self.population.remove(self._leaving(proposal))

    def state_dict(self) -> dict:
        """Return the population, oldest first."""
        return dict(population=to_json(self.population))

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.population = from_json(state['population'])

    def _tournament(self, rng: np.random.Generator) -> list[Individual]:
        """Return a sample of the population, best first; of equal rewards the earlier trial is better."""
        drawn = [self.population[i] for i in rng.integers(len(self.population), size=self.sample)]
        return sorted(drawn, key=rank)

    def _breed(self, parents: list[Genotype], rng: np.random.Generator) -> Genotype:
        if len(parents) == 2:
            child = self.space.crossover(*parents, rng)
            if self.space.key(child) not in {self.space.key(parent) for parent in parents}:
                return child
        if self.identity and rng.random() < self.identity:
            return parents[0]
        try:
            child = self.space.mutate(parents[0], rng, self.rate)
        except ValueError:      # the space has no other network, or none that a mutation of this one finds
            return self.space.sample(rng)
        return parents[0] if self._drew_its_own(parents[0], child, rng) else child

    def _drew_its_own(self, parent: Genotype, child: Genotype, rng: np.random.Generator) -> bool:
        """Return whether the decision that differs would have been drawn as it was."""
        if not self.redraws:
            return False
        walk = self.space.walk
        before = {choice.name: token for choice, token in walk(self.space.encode(parent))}
        options = [len(choice.legal) for choice, token in walk(self.space.encode(child))
                   if choice.kind in self.redraws and before.get(choice.name) != token]
        return bool(options) and rng.random() < 1 / options[0]

    def _leaving(self, child: Proposal) -> Individual:
        if self.removal == 'oldest':
            return self.population[0]
        worst = [member for member in self.population if member.trial == child.meta.get('worst')]
        return worst[0] if worst else max(self.population, key=rank)   # it may have left while the child was trained
