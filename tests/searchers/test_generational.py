"""The generations: what they hold, who breeds, what is never proposed twice, and whether it pays."""

from collections import Counter

import numpy as np
import pytest

from nasdet.protocol import Result
from nasdet.searchers import GenerationalEvolutionSearcher, RandomSearcher
from tests.searchers.paths import SMALL, Paths, by_chance, drive, generations, keys, kinds, planted

# ---- what a generation holds

@pytest.mark.parametrize('window', [1, 7])
def test_the_defaults_are_the_papers(window):
    events = drive(GenerationalEvolutionSearcher(Paths(20)), by_chance, window=window)
    assert len(events) == 1000 == len(set(keys(events)))
    first, *later = generations(events)
    assert kinds(first) == dict(random=50)
    assert len(later) == 19 and all(kinds(events) == dict(mutation=20, crossover=20, random=10) for events in later)


def test_the_first_generation_is_what_random_search_proposes():
    events = drive(GenerationalEvolutionSearcher(Paths(20), **SMALL), by_chance)[:10]
    random = RandomSearcher(Paths(20))
    assert [proposal.genotype for _, proposal, _ in events] == [
        random.ask(trial, np.random.default_rng((0, trial))).genotype for trial in range(10)]


@pytest.mark.parametrize('window', [1, 4])
def test_the_parents_are_the_best_of_all_complete_generations(window):
    events = drive(GenerationalEvolutionSearcher(Paths(), **SMALL), window=window)
    by_trial = {trial: (proposal, result) for trial, proposal, result in events}
    used = set()
    for number, generation in enumerate(generations(events)):
        before = [trial for trial, (proposal, _) in by_trial.items() if proposal.meta['generation'] < number]
        best = sorted(before, key=lambda trial: (-by_trial[trial][1].reward, trial))[:3]
        for _, proposal, _ in generation:
            assert set(proposal.meta['parents']) <= set(best)
            used |= {by_trial[trial][0].meta['generation'] for trial in proposal.meta['parents'] if number == 3}
    assert len(used) > 1, 'parents of the last generation are of one generation only: nothing was kept'


def test_of_equal_rewards_the_earlier_trials_breed():
    searcher = GenerationalEvolutionSearcher(Paths(), **SMALL)
    events = drive(searcher, lambda proposal: Result('ok', 0.5))
    assert {parent for _, proposal, _ in events for parent in proposal.meta['parents']} == {0, 1, 2}
    assert [parent.trial for parent in searcher.parents] == [0, 1, 2]


def test_a_generation_waits_for_all_of_the_one_before():
    searcher = GenerationalEvolutionSearcher(Paths(), **SMALL)
    waiting = []
    for trial in range(10):
        waiting.append((trial, searcher.ask(trial, np.random.default_rng(trial))))
        searcher.asked(*waiting[-1])
    for number, proposal in reversed(waiting):
        assert searcher.ask(10, np.random.default_rng(10)) is None and not searcher.parents
        searcher.tell(number, proposal, planted(proposal))
    assert searcher.ask(10, np.random.default_rng(10)).meta['generation'] == 1


# ---- the operators

def bred(kind, draws=3000, **arguments):
    """Return proposals of a kind, each the first of generation 1, and the token sequences of its parents by trial."""
    shares = {'mutations': 0, 'crossovers': 0, f'{kind}s': 10}
    searcher = GenerationalEvolutionSearcher(Paths(), **{**SMALL, **shares, **arguments})
    parents = {}
    for trial in range(10):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        parents[trial] = proposal.tokens
        searcher.asked(trial, proposal)
        searcher.tell(trial, proposal, planted(proposal))
    return [searcher.ask(10, np.random.default_rng(seed)) for seed in range(draws)], parents


def test_a_mutation_redraws_each_gene_at_the_rate_perhaps_to_itself():
    """A gene changes with 0.3 x 3/4; networks that were proposed, the parent above all, are drawn again."""
    proposals, parents = bred('mutation', rate=0.3)
    changed = [sum(a != b for a, b in zip(p.tokens, parents[p.meta['parents'][0]], strict=True)) for p in proposals]
    chance = 0.3 * 3 / 4
    expected = 8 * chance / (1 - (1 - chance) ** 8)         # given that at least one gene has changed
    assert min(changed) == 1
    assert np.mean(changed) == pytest.approx(expected, abs=4 * np.std(changed) / np.sqrt(len(changed)))
    spent = [p.meta['tries']['mutation'] for p in proposals]
    assert np.mean(spent) == pytest.approx(1 / (1 - (1 - chance) ** 8), abs=4 * np.std(spent) / np.sqrt(len(spent)))


def test_a_crossover_takes_each_gene_from_either_parent():
    proposals, parents = bred('crossover')
    first = np.zeros(8)
    apart = np.zeros(8)
    for proposal in proposals:
        a, b = (np.array(parents[trial]) for trial in proposal.meta['parents'])
        child = np.array(proposal.tokens)
        assert ((child == a) | (child == b)).all() and (a != b).any()
        first += (child == a) & (a != b)
        apart += a != b
    assert (apart > 500).sum() >= 6
    assert np.abs(first / np.maximum(apart, 1) - 0.5)[apart > 500].max() < 0.1


# ---- short of children

def test_what_crossover_cannot_fill_is_random():
    """One parent alone: each crossover is the parent again, so all 40 tries are in vain, once."""
    events = drive(GenerationalEvolutionSearcher(Paths(), **{**SMALL, 'parents': 1}))
    for generation in generations(events)[1:]:
        assert kinds(generation) == dict(mutation=4, random=6)
        assert sum(proposal.meta['tries']['crossover'] for _, proposal, _ in generation) == 40


def test_what_mutation_cannot_fill_is_random():
    """The rate is so small that a mutation is its parent again."""
    events = drive(GenerationalEvolutionSearcher(Paths(), **SMALL, rate=1e-9))
    for generation in generations(events)[1:]:
        assert kinds(generation) == dict(crossover=4, random=6)
        assert sum(proposal.meta['tries']['mutation'] for _, proposal, _ in generation) == 40


@pytest.mark.parametrize('window', [1, 5])
def test_refused_tries_count_too(window):
    """Whatever is bred is refused: 10 tries a child, then random draws only."""
    def refuse_the_bred(proposal):
        return planted(proposal) if proposal.meta['kind'] == 'random' else Result('refused')

    events = drive(GenerationalEvolutionSearcher(Paths(), **SMALL), refuse_the_bred, window=window)
    assert len(set(keys(events))) == len(events)
    assert [kinds(generation) for generation in generations(events)] == [dict(random=10)] * 4
    for generation in generations(events, 'refused'):
        for kind in ('mutation', 'crossover'):
            tries = sum(proposal.meta['tries'][kind] for _, proposal, _ in generation if proposal.meta['kind'] == kind)
            assert kinds(generation)[kind] <= tries <= 40
    total = Counter()
    for _, proposal, _ in events:
        total.update(proposal.meta['tries'])
    assert total == dict(mutation=3 * 40, crossover=3 * 40)


@pytest.mark.parametrize('window', [1, 3, 10])
def test_a_generation_is_as_large_under_a_limit_that_one_in_ten_passes(window):
    def limited(proposal):
        return planted(proposal) if sum(proposal.tokens) <= 8 else Result('refused')

    space = Paths()
    passes = np.mean([sum(space.draw(np.random.default_rng(seed))) <= 8 for seed in range(500)])
    assert 0.05 < passes < 0.15
    events = drive(GenerationalEvolutionSearcher(space, **SMALL, rate=0.3), limited, window=window)
    assert [len(generation) for generation in generations(events)] == [10] * 4
    assert len(set(keys(events))) == len(events)
    bred = kinds([event for generation in generations(events)[1:] for event in generation])
    assert bred['mutation'] + bred['crossover'] >= 20       # of 24: parents that pass breed what passes


# ---- failures

def test_failed_trials_keep_their_place_but_never_breed():
    def fail_the_best(proposal):
        return Result('failed') if proposal.tokens[0] == 3 else Result('ok', proposal.tokens[0])

    events = drive(GenerationalEvolutionSearcher(Paths(), **SMALL), fail_the_best)
    failed = {trial for trial, _, result in events if result.status == 'failed'}
    assert failed and len(events) == 40
    assert not failed & {parent for _, proposal, _ in events for parent in proposal.meta['parents']}


def test_without_any_parent_a_generation_is_random():
    events = drive(GenerationalEvolutionSearcher(Paths(), **SMALL), lambda proposal: Result('failed'))
    assert len(events) == 40 and kinds(events) == dict(random=40)


# ---- whether it pays

def test_it_finds_a_planted_goal_that_chance_does_not():
    gains = []
    for goal in range(20):
        searcher = GenerationalEvolutionSearcher(Paths(), population=20, generations=10, parents=5, mutations=8,
                                                 crossovers=8)
        events = drive(searcher, lambda proposal: planted(proposal, goal), seed=goal)       # noqa: B023
        rewards = [result.reward for _, _, result in events]
        rngs = [np.random.default_rng((goal, trial)) for trial in range(len(rewards))]
        chance = [planted(RandomSearcher(Paths()).ask(0, rng), goal).reward for rng in rngs]
        assert len(rewards) == 200
        gains.append(max(rewards) - max(chance))
    assert np.mean(gains) > 5 * np.std(gains, ddof=1) / np.sqrt(len(gains)), gains


@pytest.mark.parametrize('arguments, complaint', [
    (dict(population=0), 'at least 1'), (dict(generations=0), 'at least 1'), (dict(parents=0), 'at least 1'),
    (dict(mutations=30, crossovers=30), 'no part of a population of 50'), (dict(mutations=-1), 'no part'),
    (dict(rate=0), 'probability'), (dict(rate=1.1), 'probability')])
def test_arguments_out_of_range_are_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        GenerationalEvolutionSearcher(Paths(), **arguments)
