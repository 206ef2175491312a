"""What a search space is: an architecture as a sequence of decisions."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Iterator, Optional

import numpy as np

from nasdet.genotype import Genotype

MUTATION_TRIES = 100


@dataclass(frozen=True)
class Choice:
    """One decision.

    Args:
        name: Unique in the architecture: ``'cell3.level'``.
        kind: Choices of one kind share ``space.vocab[kind]`` and one softmax of a controller.
        legal: Indices into the vocabulary; a single one makes the decision forced.
    """

    name: str
    kind: str
    legal: tuple[int, ...]

    @property
    def forced(self) -> bool:
        """Whether there is nothing to decide."""
        return len(self.legal) == 1


@dataclass(frozen=True)
class Graph:
    """An architecture for drawing.

    Args:
        nodes: One dict a node: ``id``, ``label``, and optionally ``column`` and ``row`` (a layout hint), ``kind``.
        edges: ``(from id, to id, label)`` triples.
    """

    nodes: list = field(default_factory=list)
    edges: list = field(default_factory=list)


class Space(ABC):
    """A search space: makes, varies and checks genotypes.

    A subclass says ``vocab``, ``choices``, ``decode`` and ``encode``; with these alone every searcher works.
    What else it can do, it declares by having the method (:meth:`can` asks):

    - ``apply(genotype, model) -> ConfigDict``: a whole new model config; needed to train or export a network;
    - ``supernet(model) -> ConfigDict``: the model config of the weight-shared network over all genotypes;
    - ``relaxed(model) -> ConfigDict``: the model config of the network that is a weighted sum over all genotypes, and
      whose backbone has ``alphas``, its architecture parameters by name, and ``derive()``, the value they stand for;
    - ``graph(genotype) -> Graph``: for drawing;
    - ``size() -> int``: the number of genotypes, the space's own count;
    - ``check_model(model) -> None``: ValueError where the space does not fit the model config;
    - ``extensions(genotype) -> Iterator[Genotype]``: the canonical genotypes that are one step larger, each once; of
      None the smallest ones; needed to search from small to large;
    - ``block_modules(scope) -> dict[str, str]``: the decisions that the cost of a part of the detector (``'backbone'``,
      ``'neck'`` or ``'model'``) is a sum over, each with the dotted name, in an applied detector, of the module that it
      chooses. They are in every genotype and always free, and what a module costs depends on its own decision alone;
      ValueError where the cost is no such sum;
    - ``block_tokens(genotype, scope) -> tuple[int, ...]``: the tokens of these decisions, in the same order.
    """

    vocab: dict[str, tuple]

    @property
    def name(self) -> str:
        """The registered name, which the space's genotypes carry."""
        return type(self).__name__

    @abstractmethod
    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision that follows the tokens ``prefix``, or None when the architecture is complete."""

    @abstractmethod
    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""

    @abstractmethod
    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return a token sequence that decodes to ``genotype``; ValueError where there is none."""

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the one genotype that stands for all equal networks."""
        return genotype

    def key(self, genotype: Genotype) -> str:
        """Return the hash of the canonical form: equal keys, equal networks."""
        return self.canonical(genotype).digest()

    def check(self, genotype: Genotype, model: Optional[dict] = None) -> None:
        """Refuse a genotype that is not of this space, or does not fit a model config.

        Raises:
            ValueError: With a sentence that a person can act on.
        """
        if genotype.space != self.name:
            raise ValueError(f'this genotype is of {genotype.space}, not of {self.name}')
        self.encode(genotype)
        if model is not None and self.can('check_model'):
            self.check_model(model)

    def can(self, capability: str) -> bool:
        """Return whether the space declares an optional method."""
        return callable(getattr(self, capability, None))

    def path(self, genotype: Genotype, module: str) -> dict:
        """Return the plain value that a searched module of the supernet takes as its path.

        Args:
            genotype: Of this space.
            module: The module's dotted name in the supernet, such as ``'neck'``.
        """
        return genotype.plain()

    # ---- given: everything below follows from the sequence of decisions

    def walk(self, tokens: tuple[int, ...]) -> Iterator[tuple[Choice, int]]:
        """Yield each decision with the token taken; ValueError where a token is not legal."""
        for position, token in enumerate(tokens):
            choice = self.choices(tokens[:position])
            if choice is None or token not in choice.legal:
                raise ValueError(f'{self.name}: token {token} at position {position} is not legal here ({choice})')
            yield choice, token

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw a complete token sequence, each decision uniformly."""
        return self._complete(lambda choice: _uniform(choice, rng))

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draw a genotype, each decision uniformly."""
        return self.decode(self.draw(rng))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, rate: Optional[float] = None) -> Genotype:
        """Return a neighbour that is another network.

        Args:
            genotype: The parent.
            rng: The source of chance.
            rate: Probability to re-draw each open decision; None re-draws exactly one.

        Raises:
            ValueError: No other network found in 100 tries.
        """
        walked = list(self.walk(self.encode(genotype)))
        parent = {choice.name: token for choice, token in walked}
        open_names = [choice.name for choice, _ in walked if not choice.forced]
        key = self.key(genotype)
        for _ in range(MUTATION_TRIES if open_names else 0):
            if rate is None:
                chosen = {open_names[rng.integers(len(open_names))]}
            else:
                chosen = {name for name in open_names if rng.random() < rate}
            child = self.decode(self._complete(lambda choice: _vary(choice, parent, chosen, rng)))  # noqa: B023
            if self.key(child) != key:
                return child
        raise ValueError(f'{self.name}: no other network found by {MUTATION_TRIES} mutations of {genotype.to_json()}')

    def crossover(self, a: Genotype, b: Genotype, rng: np.random.Generator) -> Genotype:
        """Return a child that takes each decision, by name, from one parent by a coin, else the other, else a draw."""
        parents = [{choice.name: token for choice, token in self.walk(self.encode(genotype))} for genotype in (a, b)]

        def decide(choice):
            first = int(rng.integers(2))
            for parent in (parents[first], parents[1 - first]):
                if parent.get(choice.name) in choice.legal:
                    return parent[choice.name]
            return _uniform(choice, rng)

        return self.decode(self._complete(decide))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield the genotypes that one re-decision reaches, the rest kept where legal, else the first legal token."""
        walked = list(self.walk(self.encode(genotype)))
        parent = {choice.name: token for choice, token in walked}
        seen = {self.key(genotype)}
        for choice, token in walked:
            for other in choice.legal:
                if other == token:
                    continue
                wanted = {**parent, choice.name: other}
                tokens = self._complete(lambda c: wanted[c.name] if wanted.get(c.name) in c.legal else c.legal[0])  # noqa: B023
                neighbour = self.decode(tokens)
                if self.key(neighbour) not in seen:
                    seen.add(self.key(neighbour))
                    yield neighbour

    def _complete(self, decide) -> tuple[int, ...]:
        tokens: tuple[int, ...] = ()
        while (choice := self.choices(tokens)) is not None:
            tokens += (decide(choice),)
        return tokens


def _uniform(choice: Choice, rng: np.random.Generator) -> int:
    return choice.legal[rng.integers(len(choice.legal))]


def _vary(choice: Choice, parent: dict, chosen: set, rng: np.random.Generator) -> int:
    own = parent.get(choice.name)
    if choice.name in chosen:
        others = tuple(token for token in choice.legal if token != own)
        return others[rng.integers(len(others))] if others else choice.legal[0]
    return own if own in choice.legal else _uniform(choice, rng)
