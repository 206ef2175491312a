"""What a space must hold to."""

from copy import deepcopy
from typing import Callable, Optional

import numpy as np

from nasdet.genotype import Genotype
from nasdet.spaces.base import Space


def check_space(space: Space, rng: np.random.Generator, model: Optional[dict] = None, samples: int = 50) -> None:
    """Check a space: decisions, codes, keys, variation and, where it is given a model config, ``apply``.

    Args:
        space: The space.
        rng: The source of chance.
        model: A model config that the space fits.
        samples: Number of genotypes drawn.
    """
    keys = set()
    for _ in range(samples):
        tokens = space.draw(rng)
        _check_decisions(space, tokens)
        genotype = space.decode(tokens)
        keys.add(space.key(genotype))
        _check_codes(space, genotype)
        _check_variation(space, genotype, space.sample(rng), rng)
    seeds = [int(rng.integers(2 ** 31)) for _ in range(2)]
    first, again = (space.sample(np.random.default_rng(seeds[0])) for _ in range(2))
    assert first == again, 'sample() draws from something else than the generator it is given'
    _refuses(lambda: space.check(Genotype('NoSuchSpace', {})), 'check() accepts a genotype of another space')
    if space.can('size'):
        assert space.size() >= len(keys), f'size() is {space.size()}, but {len(keys)} different networks were drawn'
    if space.can('graph'):
        graph = space.graph(first)
        names = [node['id'] for node in graph.nodes]
        assert len(set(names)) == len(names), 'graph(): two nodes have the same id'
        assert all(a in names and b in names for a, b, _ in graph.edges), 'graph(): an edge ends at an unknown node'
    if model is not None:
        before = deepcopy(model)
        space.check(first, model)
        assert space.apply(first, model) is not model, 'apply() returns the config it was given, not a new one'
        assert model == before, 'apply() changes the config it was given'


def _check_decisions(space: Space, tokens: tuple[int, ...]) -> None:
    names = []
    for choice, _ in space.walk(tokens):
        names.append(choice.name)
        assert choice.kind in space.vocab, f'{choice.name} is of kind {choice.kind!r}, which vocab does not have'
        assert choice.legal, f'{choice.name} has no legal token'
        assert len(set(choice.legal)) == len(choice.legal), f'{choice.name}: a legal token is listed twice'
        assert set(choice.legal) <= set(range(len(space.vocab[choice.kind]))), f'{choice.name}: no index of its vocab'
    assert len(set(names)) == len(names), f'a decision name occurs twice: {names}'
    assert space.choices(tokens) is None, 'a complete sequence has a further decision'
    _refuses(lambda: space.decode(tokens[:-1]), 'decode() accepts a sequence that lacks its last token')
    _refuses(lambda: space.decode((10 ** 6, *tokens[1:])), 'decode() accepts a token that is not legal')


def _check_codes(space: Space, genotype: Genotype) -> None:
    assert genotype.space == space.name, f'a genotype of {space.name} says that it is of {genotype.space}'
    assert space.decode(space.encode(genotype)) == genotype, f'decode(encode(g)) is not g for {genotype.to_json()}'
    assert Genotype.from_json(genotype.to_json()) == genotype, 'a genotype does not survive JSON'
    canonical = space.canonical(genotype)
    space.check(genotype)
    space.check(canonical)
    assert space.canonical(canonical) == canonical, f'canonical() is not idempotent for {genotype.to_json()}'
    assert space.key(canonical) == space.key(genotype), 'a genotype and its canonical form have different keys'


def _check_variation(space: Space, genotype: Genotype, other: Genotype, rng: np.random.Generator) -> None:
    mutant, child = space.mutate(genotype, rng), space.crossover(genotype, other, rng)
    for name, result in (('mutate', mutant), ('crossover', child)):
        space.check(result)
        assert space.decode(space.encode(result)) == result, f'{name}() returns what encode() does not know'
    assert space.key(mutant) != space.key(genotype), 'mutate() returns the same network'
    same = space.crossover(genotype, genotype, rng)
    assert space.key(same) == space.key(genotype), 'crossover() of a genotype with itself is another network'
    neighbours = [space.key(neighbour) for neighbour in space.neighbours(genotype)]
    assert len({space.key(genotype), *neighbours}) == len(neighbours) + 1, 'neighbours() yields a network twice'


def _refuses(call: Callable[[], object], complaint: str) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError(complaint)
