"""Several spaces searched together, each over its own part of the detector."""

import math
from dataclasses import replace
from typing import Mapping, Optional

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES, build
from nasdet.spaces.base import Choice, Graph, Space

FIRST = ('backbone', 'neck')    # the order in which a detector runs, and in which its parts are fitted to each other
OF_ALL_PARTS = ('apply', 'supernet', 'graph', 'size')


@SPACES.register_module()
class ProductSpace(Space):
    """All combinations of the genotypes of several spaces, such as of a backbone and of a neck.

    The decisions of the parts follow each other, backbone first, then neck; names and kinds of decisions begin with
    the part's name. A genotype holds for each part the ``space`` and the ``value`` of a genotype of it.

    Args:
        spaces: For each part its space, or the config of one. A part is named by the detector's module that is
            searched: ``'backbone'``, ``'neck'``.
    """

    def __init__(self, spaces: Mapping[str, Mapping]):
        if len(spaces) < 2:
            raise ValueError(f'ProductSpace takes two spaces or more, not {len(spaces)}')
        names = sorted(spaces, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
        self.spaces: dict[str, Space] = {
            name: build(SPACES, spaces[name]) if isinstance(spaces[name], Mapping) else spaces[name] for name in names}
        self.vocab = {f'{name}.{kind}': words for name, space in self.spaces.items()
                      for kind, words in space.vocab.items()}

    def can(self, capability: str) -> bool:
        """Return whether the parts declare an optional method: all of them, or one where that is of use."""
        parts = [space.can(capability) for space in self.spaces.values()]
        return super().can(capability) and (all(parts) if capability in OF_ALL_PARTS else any(parts))

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``, of the first part that is not complete."""
        for name, tokens in self._split(prefix).items():
            choice = self.spaces[name].choices(tokens)
            if choice is not None:
                return replace(choice, name=f'{name}.{choice.name}', kind=f'{name}.{choice.kind}')
        return None

    def _split(self, tokens: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return the tokens of each part; the last one has all that remain."""
        parts = {}
        *others, last = self.spaces
        for name in others:
            ends = (end for end in range(len(tokens)) if self.spaces[name].choices(tokens[:end]) is None)
            end = next(ends, len(tokens))
            parts[name], tokens = tokens[:end], tokens[end:]
        return {**parts, last: tokens}

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        tokens = tuple(tokens)
        if len(list(self.walk(tokens))) < len(tokens) or self.choices(tokens) is not None:
            raise ValueError(f'{self.name}: {len(tokens)} tokens are not a complete architecture')
        return self._join({name: self.spaces[name].decode(part) for name, part in self._split(tokens).items()})

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        return sum((self.spaces[name].encode(part) for name, part in self.parts(genotype).items()), ())

    def parts(self, genotype: Genotype) -> dict[str, Genotype]:
        """Return the genotype of each part.

        Args:
            genotype: Of this space.

        Raises:
            ValueError: It has other parts, or a part of another space.
        """
        value = genotype.plain()
        if set(value) != set(self.spaces):
            raise ValueError(f'this space has the parts {list(self.spaces)}, the genotype {sorted(value)}')
        for name, space in self.spaces.items():
            if not isinstance(value[name], dict) or set(value[name]) != {'space', 'value'}:
                raise ValueError(f'part {name} of a genotype has the keys space and value, not {value[name]!r}')
            if value[name]['space'] != space.name:
                raise ValueError(f'part {name} of this space is a {space.name}, of the genotype a '
                                 f'{value[name]["space"]}')
        return {name: Genotype(**value[name]) for name in self.spaces}

    def _join(self, parts: Mapping[str, Genotype]) -> Genotype:
        return Genotype(self.name, {name: dict(space=part.space, value=part.value) for name, part in parts.items()})

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the one genotype for all equal networks: that of the canonical parts."""
        return self._join({name: self.spaces[name].canonical(part) for name, part in self.parts(genotype).items()})

    def size(self) -> int:
        """Return the number of combinations."""
        return math.prod(space.size() for space in self.spaces.values())

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new model config with every part's genotype, each part fitted to those before it.

        Args:
            genotype: One of this space.
            model: A detector's model config; it is not changed.

        Raises:
            ValueError: The genotype is of another space, or a part does not fit.
        """
        for name, part in self.parts(genotype).items():
            model = self.spaces[name].apply(part, model)
        return model

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config in which every part is its supernet; ``model`` is not changed."""
        fitted = self.apply(self.sample(np.random.default_rng(0)), model)   # a supernet itself has no shapes to fit
        return ConfigDict({**fitted, **{name: space.supernet(fitted)[name] for name, space in self.spaces.items()}})

    def path(self, genotype: Genotype, module: str) -> dict:
        """Return what a searched module of the supernet takes: the value of the part that it belongs to."""
        name = module.partition('.')[0]
        if name not in self.spaces:
            raise ValueError(f'the supernet searches {module!r}, and the parts of this space are {list(self.spaces)}')
        return self.spaces[name].path(self.parts(genotype)[name], module)

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where a part does not fit a detector that has the parts before it."""
        for space in self.spaces.values():
            if space.can('check_model'):
                space.check_model(model)
            model = space.apply(space.sample(np.random.default_rng(0)), model)

    # ---- for costs that are sums over blocks

    def block_modules(self, scope: str) -> dict[str, str]:
        """Return the module of each block of the parts that a scope depends on; ValueError where one has no blocks."""
        return {f'{name}.{decision}': module for name in self._up_to(scope)
                for decision, module in self.spaces[name].block_modules(scope).items()}

    def block_tokens(self, genotype: Genotype, scope: str) -> tuple[int, ...]:
        """Return the tokens of the blocks that :meth:`block_modules` names."""
        parts = self.parts(genotype)
        return sum((self.spaces[name].block_tokens(parts[name], scope) for name in self._up_to(scope)), ())

    def _up_to(self, scope: str) -> list[str]:
        """Return the parts that a scope's cost depends on: itself and those before it, or all."""
        names = list(self.spaces)
        names = names[:names.index(scope) + 1] if scope in names else names
        for name in names:
            if not self.spaces[name].can('block_modules'):
                raise ValueError(f'the cost of the {scope} is no sum over blocks, as {self.spaces[name].name} searches '
                                 f'the {name} too')
        return names

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return the graphs of the parts beside each other."""
        graph, column = Graph(), 0
        for name, part in self.parts(genotype).items():
            drawn = self.spaces[name].graph(part)
            for node in drawn.nodes:
                place = {'column': node['column'] + column} if 'column' in node else {}
                graph.nodes.append({**node, **place, 'id': f'{name}.{node["id"]}'})
            graph.edges.extend((f'{name}.{start}', f'{name}.{end}', label) for start, end, label in drawn.edges)
            column = 1 + max((node.get('column', 0) for node in graph.nodes), default=0)
        return graph
