"""Paths to search among, and a generational search of them."""

from collections import Counter

import numpy as np

from nasdet.costs.base import Cost
from nasdet.genotype import Genotype
from nasdet.protocol import Result
from nasdet.searchers import GenerationalEvolutionSearcher
from nasdet.spaces.base import Choice, Space
from tests.search.test_loop import Bench

SMALL = dict(population=10, generations=4, parents=3, mutations=4, crossovers=4)


class Paths(Space):
    """Paths through ``blocks`` blocks with ``ops`` choices each, all of them different networks."""

    def __init__(self, blocks=8, ops=4):
        self.blocks = blocks
        self.vocab = dict(op=tuple(range(ops)))

    def choices(self, prefix):
        return Choice(f'block{len(prefix)}', 'op', self.vocab['op']) if len(prefix) < self.blocks else None

    def decode(self, tokens):
        list(self.walk(tokens))
        if len(tokens) != self.blocks:
            raise ValueError(f'{self.blocks} blocks, not {len(tokens)}')
        return Genotype(self.name, dict(ops=tokens))

    def encode(self, genotype):
        return tuple(genotype.value['ops'])


class Height(Cost):
    """Adds up the tokens of a path."""

    def __call__(self, genotype):
        return float(sum(genotype.value['ops']))


def planted(proposal, goal=0):
    """Reward a path of 8 blocks by the mean of a weight for each (block, choice)."""
    weights = np.random.default_rng(goal).random((8, 4))
    return Result('ok', float(weights[range(8), proposal.tokens].mean()))


def by_chance(proposal):
    """Reward what has nothing in common, so that the parents never become alike."""
    return Result('ok', int(proposal.genotype.digest(), 16) / 16 ** 16)


def drive(searcher, result=planted, seed=0, window=1):
    """Run a search to its end, results told in the order of the trials; return [(trial, proposal, result)]."""
    events, waiting, trial = [], [], 0
    while not searcher.finished:
        proposal = searcher.ask(trial, np.random.default_rng((seed, trial))) if len(waiting) < window else None
        if proposal is not None:
            searcher.asked(trial, proposal)
            waiting.append((trial, proposal))
            trial += 1
        else:
            number, proposal = waiting.pop(0)
            events.append((number, proposal, result(proposal)))
            searcher.tell(*events[-1])
    return events


def generations(events, status='ok'):
    """Return one list of events a generation, of those with a status."""
    found = {}
    for event in events:
        if event[2].status == status:
            found.setdefault(event[1].meta['generation'], []).append(event)
    return [found[number] for number in sorted(found)]


def kinds(events):
    return Counter(proposal.meta['kind'] for _, proposal, _ in events)


def keys(events):
    return [proposal.genotype.to_json() for _, proposal, _ in events]


def bench(path, trials=40, limit=None, space=None, **arguments):
    space = space or Paths()
    searcher = {**SMALL, **arguments.pop('searcher', {})}
    costs = [] if limit is None else [Height(space, limit=limit, scope='path')]
    found = Bench(path, searcher=lambda _: GenerationalEvolutionSearcher(space, **searcher), costs=costs,
                  trials=trials, **arguments)
    found.space = found.loop.space = found.estimator.space = space
    return found
