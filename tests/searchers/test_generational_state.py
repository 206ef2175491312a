"""How a search by generations ends, and that it goes on after a kill as if nothing had been."""

import json

import numpy as np
import pytest

from nasdet.protocol import Result
from nasdet.searchers import GenerationalEvolutionSearcher
from nasdet.testing import check_searcher
from tests.searchers.paths import SMALL, Paths, bench, drive
from tests.toys import ToySpace

# ---- the end

@pytest.mark.parametrize('space', [Paths(3, 3), ToySpace(2), Paths(1, 1)])
@pytest.mark.parametrize('window', [1, 4])
def test_a_space_smaller_than_the_budget_is_proposed_whole_and_once(space, window):
    networks = set()
    tokens = [()]
    while tokens:
        prefix = tokens.pop()
        choice = space.choices(prefix)
        if choice is None:
            networks.add(space.key(space.decode(prefix)))
        else:
            tokens += [(*prefix, token) for token in choice.legal]
    searcher = GenerationalEvolutionSearcher(space, **SMALL)
    events = drive(searcher, lambda proposal: Result('ok', len(proposal.tokens)), window=window)
    proposed = [space.key(proposal.genotype) for _, proposal, _ in events]
    assert len(networks) < 40 and len(proposed) == len(networks) and set(proposed) == networks
    assert 'every architecture' in searcher.ending


def test_the_search_says_why_it_ends(tmp_path):
    assert bench(tmp_path / 'a', trials=60).run() == 'all 4 generations of 10 are evaluated'
    assert bench(tmp_path / 'b', trials=40).run() == '40 evaluations are made'
    assert bench(tmp_path / 'c', trials=25).run() == '25 evaluations are made'
    assert bench(tmp_path / 'tight', limit=8).run() == '40 evaluations are made'
    small = bench(tmp_path / 'd', space=Paths(3, 2))
    assert small.run() == 'every architecture of the space was proposed, in generation 1'
    assert small.loop.evaluations == 8
    assert '800 proposals gave only 0 evaluations' in bench(tmp_path / 'e', limit=-1).run()
    assert 'every architecture' in bench(tmp_path / 'f', limit=-1, space=Paths(3, 3)).run()


# ---- state

@pytest.mark.parametrize('space', [Paths(), ToySpace(4), Paths(2, 4)])
def test_conforms(space):
    check_searcher(lambda space: GenerationalEvolutionSearcher(space, **SMALL), space, trials=45)


@pytest.mark.parametrize('slots', [1, 3])
def test_killed_after_every_trial_it_goes_on_as_if_nothing_had_been(tmp_path, slots):
    whole = bench(tmp_path / 'whole', limit=11, slots=slots)
    whole.run()
    assert {row[2] for row in whole.rows()} == {'ok', 'refused'}
    kills, ended = 0, False
    while not ended:
        parts = bench(tmp_path / 'parts', limit=11, slots=slots)
        parts.loop.on_told = lambda *told: next(iter(()))       # raises StopIteration: the kill
        try:
            parts.run()
            ended = True
        except StopIteration:
            kills += 1
        finally:
            parts.history.close()
    parts = bench(tmp_path / 'parts', limit=11, slots=slots)
    assert kills == len(whole.rows())
    assert parts.rows() == whole.rows() and parts.events() == whole.events()


def test_slots_change_nothing_where_the_window_is_the_same(tmp_path):
    benches = [bench(tmp_path / str(slots), limit=11, slots=slots, window=3) for slots in (1, 3)]
    for each in benches:
        each.run()
    assert benches[0].rows() == benches[1].rows() and benches[0].events() == benches[1].events()


def test_a_snapshot_at_any_trial_goes_on_the_same_way():
    straight = GenerationalEvolutionSearcher(Paths(), **SMALL)
    for trial, proposal, result in drive(GenerationalEvolutionSearcher(Paths(), **SMALL)):
        restored = GenerationalEvolutionSearcher(Paths(), **SMALL)
        restored.load_state_dict(json.loads(json.dumps(straight.state_dict())))
        assert restored.ask(trial, np.random.default_rng((0, trial))) == proposal
        straight.asked(trial, proposal)
        straight.tell(trial, proposal, result)
    assert straight.finished
