"""Coarse-to-fine selection: the grid first, then mutations of the best within each budget."""

import numpy as np
import pytest

from nasdet.genotype import Genotype
from nasdet.protocol import Result
from nasdet.searchers import CoarseToFineSearcher
from nasdet.spaces.base import Choice, Space
from nasdet.testing import check_searcher
from tests.toys import ToySpace


class GriddedSpace(Space):
    """Four decisions of three options each; the grid takes one option everywhere."""

    vocab = dict(option=(0, 1, 2))
    decisions = 4

    def choices(self, prefix):
        return Choice(f'decision{len(prefix)}', 'option', (0, 1, 2)) if len(prefix) < self.decisions else None

    def decode(self, tokens):
        return Genotype(self.name, dict(options=[token for _, token in self.walk(tokens)]))

    def encode(self, genotype):
        return tuple(genotype.value['options'])

    def coarse_grid(self):
        for option in self.vocab['option']:
            yield self.decode((option,) * self.decisions)


@pytest.fixture
def space():
    return GriddedSpace()


def cost_of(space, genotype) -> int:
    return sum(space.encode(genotype))


def run(searcher, space, reward=None, trials=200) -> list:
    """Ask and tell one after another; the reward of a toy is its cost unless another is given."""
    proposals = []
    while not searcher.finished and len(proposals) < trials:
        trial = len(proposals)
        proposal = searcher.ask(trial, np.random.default_rng((0, trial)))
        searcher.asked(trial, proposal)
        cost = cost_of(space, proposal.genotype)
        value = float(cost) if reward is None else reward(proposal.genotype)
        searcher.tell(trial, proposal, Result('ok', value, costs=dict(tokens=cost)))
        proposals.append(proposal)
    return proposals


def test_it_conforms(space):
    check_searcher(lambda space: CoarseToFineSearcher(space, mutations=37), space, trials=40)


def test_the_grid_comes_first_and_is_awaited(space):
    searcher, grid = CoarseToFineSearcher(space, mutations=5), list(space.coarse_grid())
    for trial, genotype in enumerate(grid):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        assert proposal.genotype == genotype
        searcher.asked(trial, proposal)
    assert searcher.ask(len(grid), np.random.default_rng(9)) is None


def test_each_budget_mutates_the_best_within_it(space):
    bounds = [3, 6]
    searcher = CoarseToFineSearcher(space, mutations=40, rate=0.3, budgets=dict(tokens=bounds))
    proposals = run(searcher, space)
    grid = len(list(space.coarse_grid()))
    fine = proposals[grid:]
    assert len(fine) == 40 and len({space.key(proposal.genotype) for proposal in fine}) > 20
    assert [proposal.meta['bound'] for proposal in fine] == bounds * 20
    for number, proposal in enumerate(fine, start=grid):
        told = [cost_of(space, earlier.genotype) for earlier in proposals[:number]]
        affordable = [cost for cost in told if cost <= proposal.meta['bound']]
        parent = proposals[proposal.meta['parent']]
        assert cost_of(space, parent.genotype) == max(affordable)
    assert [best.reward for best in searcher.best] == bounds


def test_it_climbs_above_the_grid(space):
    target = (0, 2, 1, 2)
    searcher = CoarseToFineSearcher(space, mutations=60, rate=0.3)
    proposals = run(searcher, space, lambda genotype: -float(np.abs(np.subtract(space.encode(genotype), target)).sum()))
    assert space.encode(proposals[searcher.best[0].trial].genotype) == target
    assert target not in {space.encode(genotype) for genotype in space.coarse_grid()}


def test_it_goes_on_at_random_where_all_of_the_grid_failed(space):
    searcher, grid = CoarseToFineSearcher(space, mutations=3), list(space.coarse_grid())
    for trial in range(len(grid)):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        searcher.asked(trial, proposal)
        searcher.tell(trial, proposal, Result('failed', error='no'))
    assert searcher.ask(len(grid), np.random.default_rng(0)) is not None


@pytest.mark.parametrize('make, message', [
    (lambda space: CoarseToFineSearcher(ToySpace(2)), r'needs a space with coarse_grid\(\), ToySpace has none'),
    (lambda space: CoarseToFineSearcher(space, rate=0), 'rate above 0'),
    (lambda space: CoarseToFineSearcher(space, budgets=dict(a=[1], b=[2])), 'holds one cost'),
])
def test_what_is_wrong_is_refused(space, make, message):
    with pytest.raises(ValueError, match=message):
        make(space)
