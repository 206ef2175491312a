from collections import Counter

import numpy as np
import pytest

from nasdet.protocol import Proposal, Result
from nasdet.searchers import EvolutionSearcher, RandomSearcher
from nasdet.spaces import AmoebaNetSpace
from nasdet.spaces.base import Choice
from tests.toys import OPS, ToySpace, planted_score


def filled(rewards, **arguments):
    """Return a searcher whose population was told these rewards in trials 0, 1, ..."""
    space = ToySpace(5)
    searcher = EvolutionSearcher(space, population=len(rewards), **arguments)
    for trial, reward in enumerate(rewards):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        assert 'parents' not in proposal.meta
        searcher.tell(trial, proposal, Result('ok', reward))
    return searcher


def trials(searcher):
    return [member.trial for member in searcher.population]


def child_of(searcher, trial, seed=0):
    return searcher.ask(trial, np.random.default_rng((seed, trial)))


def test_the_oldest_leaves_even_if_it_is_the_best():
    searcher = filled([0.9, 0.1, 0.2], sample=2)
    searcher.tell(3, child_of(searcher, 3), Result('ok', 0.0))
    assert trials(searcher) == [1, 2, 3]


def test_worst_of_the_tournament_leaves():
    searcher = filled([0.9, 0.1, 0.2], sample=50, removal='worst')
    proposal = child_of(searcher, 3)
    assert proposal.meta == dict(parents=[0], worst=1)
    searcher.tell(3, proposal, Result('ok', 0.0))
    assert trials(searcher) == [0, 2, 3]


def test_worst_has_left_before_a_late_child_arrives():
    searcher = filled([0.9, 0.1, 0.2], sample=50, removal='worst')
    first, late = child_of(searcher, 3), child_of(searcher, 4)
    searcher.tell(3, first, Result('ok', 0.5))
    searcher.tell(4, late, Result('ok', 0.6))
    assert trials(searcher) == [0, 3, 4]            # trial 1 left for 3; of the rest trial 2 was the worst


def test_of_equal_rewards_the_earlier_trial_wins():
    searcher = filled([0.3, 0.5, 0.5, 0.5], sample=100)
    assert {tuple(child_of(searcher, 4, seed).meta['parents']) for seed in range(10)} == {(1,)}


def test_failed_and_refused_children_never_enter():
    searcher = filled([0.1, 0.2, 0.3], sample=2)
    for trial, status in ((3, 'failed'), (4, 'refused')):
        searcher.tell(trial, child_of(searcher, trial), Result(status))
    assert trials(searcher) == [0, 1, 2]


def test_random_draws_go_on_until_the_population_is_full():
    searcher = EvolutionSearcher(ToySpace(5), population=3, sample=2)
    for trial in range(6):
        proposal = child_of(searcher, trial)
        assert 'parents' not in proposal.meta
        searcher.tell(trial, proposal, Result('ok', 0.5) if trial % 2 else Result('failed'))
    assert trials(searcher) == [1, 3, 5]
    assert 'parents' in child_of(searcher, 6).meta


def test_the_tournament_draws_with_replacement():
    """With rewards rising by trial, the best of S draws from P is member i with ((i+1)/P)^S - (i/P)^S."""
    size, sample, draws = 4, 3, 1000
    searcher = filled([0.1, 0.2, 0.3, 0.4], sample=sample)
    won = [child_of(searcher, 4, seed).meta['parents'][0] for seed in range(draws)]
    counts = np.array([won.count(i) for i in range(size)])
    expected = draws * np.diff((np.arange(size + 1) / size) ** sample)
    assert ((counts - expected) ** 2 / expected).sum() < 16.3       # chi-square, 3 degrees of freedom, 0.999


def test_mutation_changes_the_network_by_one_decision():
    searcher = filled([0.1, 0.2, 0.3], sample=2)
    space = searcher.space
    for seed in range(20):
        proposal = child_of(searcher, 3, seed)
        parent = searcher.population[proposal.meta['parents'][0]].genotype
        assert space.key(proposal.genotype) != space.key(parent)
        mine, theirs = (g.plain()['layers'] for g in (proposal.genotype, parent))
        assert sum(a != b for a, b in zip(mine, theirs, strict=True)) == 1


def test_the_identity_breeds_the_parent_again():
    searcher = filled([0.1, 0.2, 0.3], sample=2, identity=0.25)
    space, same = searcher.space, 0
    for seed in range(400):
        proposal = child_of(searcher, 3, seed)
        parent = searcher.population[proposal.meta['parents'][0]].genotype
        same += space.key(proposal.genotype) == space.key(parent)
    assert abs(same - 100) < 3.3 * np.sqrt(400 * 0.25 * 0.75)       # normal approximation, 0.999


@pytest.mark.parametrize('redraws, expected', [
    ((), dict(identity=50, state=475, op=475)),
    (('op',), dict(identity=50 + 475 / 8, state=475, op=475 * 7 / 8))])
def test_amoebanets_mutations(redraws, expected):
    """Real et al., arXiv:1802.01548: 0.05 identity, 0.475 hidden state, 0.475 operation; cell, block, half uniform."""
    space = AmoebaNetSpace()
    searcher = EvolutionSearcher(space, population=1, sample=1, identity=0.05, redraws=redraws)
    searcher.tell(0, searcher.ask(0, np.random.default_rng(0)), Result('ok', 0.5))
    parent = searcher.population[0].genotype
    names = [choice.name for choice, _ in space.walk(space.encode(parent))]
    changes = []
    for seed in range(1000):
        tokens = zip(names, space.encode(child_of(searcher, 1, seed).genotype), space.encode(parent), strict=True)
        changes.append([name for name, mine, theirs in tokens if mine != theirs])
    assert max(map(len, changes)) == 1
    kinds = Counter(name[0].rpartition('.')[2][:-1] if name else 'identity' for name in changes)
    assert sum((kinds[kind] - count) ** 2 / count for kind, count in expected.items()) < 13.8   # chi-square, 2, 0.999
    places = Counter(name[0] for name in changes if name)
    each = {name: expected[name.rpartition('.')[2][:-1]] / 20 for name in places}
    assert len(places) == 40 and sum((places[name] - mean) ** 2 / mean for name, mean in each.items()) < 72.1   # 0.999


def test_crossover_takes_every_decision_from_a_parent_or_mutates_a_copy():
    searcher = filled([0.1 * i for i in range(6)], sample=1, crossover=1.0)
    space, crossed = searcher.space, 0
    for seed in range(40):
        proposal = child_of(searcher, 6, seed)
        a, b = (searcher.population[trial].genotype for trial in proposal.meta['parents'])
        assert space.key(proposal.genotype) not in {space.key(a), space.key(b)}
        layers = zip(proposal.genotype.value['layers'], a.value['layers'], b.value['layers'], strict=True)
        crossed += all(mine['op'] in (first['op'], second['op']) for mine, first, second in layers)
    assert crossed > 20


def test_a_planted_goal_is_found_earlier_than_by_chance():
    space, best = ToySpace(10), {}
    for make in (RandomSearcher, lambda space: EvolutionSearcher(space, population=20, sample=5)):
        for goal in range(6):
            searcher, rewards = make(space), []
            for trial in range(150):
                proposal = child_of(searcher, trial, goal)
                rewards.append(planted_score(space, proposal.genotype, goal))
                searcher.asked(trial, proposal)
                searcher.tell(trial, proposal, Result('ok', rewards[-1]))
            best.setdefault(type(searcher), []).append(max(rewards))
    gain = np.subtract(best[EvolutionSearcher], best[RandomSearcher])
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain)), gain


def test_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match='at least 1'):
        EvolutionSearcher(ToySpace(3), population=0)
    with pytest.raises(ValueError, match='removal must be one of'):
        EvolutionSearcher(ToySpace(3), removal='youngest')
    with pytest.raises(ValueError, match='are probabilities, not 0.0 and 1.5'):
        EvolutionSearcher(ToySpace(3), identity=1.5)
    with pytest.raises(ValueError, match='rate is a probability above 0, or None, not 0'):
        EvolutionSearcher(ToySpace(3), rate=0)
    with pytest.raises(ValueError, match="redraws are kinds of decisions of ToySpace, op, width, not 'colour'"):
        EvolutionSearcher(ToySpace(3), redraws=['op', 'colour'])
    with pytest.raises(ValueError, match='leave rate out'):
        EvolutionSearcher(ToySpace(3), redraws=['op'], rate=0.1)


def test_proposals_are_as_told_not_canonical():
    searcher = filled([0.1, 0.2], sample=2)
    proposal = child_of(searcher, 2)
    assert isinstance(proposal, Proposal) and searcher.space.decode(proposal.tokens) == proposal.genotype


def test_where_there_is_no_other_network_it_draws():
    space = ToySpace(1)
    space.vocab = dict(op=OPS, width=(8,))
    space.choices = lambda prefix: [Choice('layer0.op', 'op', (2,)), Choice('layer0.width', 'width', (0,)), None][
        len(prefix)]
    searcher = EvolutionSearcher(space, population=2, sample=2)
    for trial in range(4):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        assert proposal.tokens == (2, 0)
        searcher.tell(trial, proposal, Result('ok', 0.5))
