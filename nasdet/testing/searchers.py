"""What a searcher must hold to."""

import json
from dataclasses import asdict
from typing import Callable, Optional

import numpy as np

from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Proposal, Result
from nasdet.searchers.base import Searcher
from nasdet.spaces.base import Space


def check_searcher(make_searcher: Callable[[Space], Searcher], space: Space, trials: int = 80) -> None:
    """Check a searcher: pure ``ask``, replay, snapshots, results in any order, failures.

    Args:
        make_searcher: Returns a new searcher for a space; small numbers (population, batch) test more.
        space: The space searched.
        trials: Proposals a run; enough that the searcher leaves its start-up phase.
    """
    straight = make_searcher(space)
    events = _drive(straight, trials)
    replayed, cut = make_searcher(space), len(events) // 2
    for event in events[:cut]:
        _apply(replayed, _through_json(event))
    restored = make_searcher(space)
    restored.load_state_dict(json.loads(_state(replayed)))
    assert _state(restored) == _state(replayed), 'load_state_dict() does not restore what state_dict() gave'
    assert _drive(restored, trials, past=events[:cut]) == events, 'a restored searcher goes on differently'
    for event in events[cut:]:
        _apply(replayed, _through_json(event))
    assert _state(replayed) == _state(straight), 'replaying the recorded proposals and results gives another state'
    for seed in range(3):
        _drive(make_searcher(space), trials, window=8, seed=seed)
    _drive(make_searcher(space), trials, window=4, broken=1.0)


def _drive(searcher: Searcher, trials: int, window: int = 1, seed: int = 0, broken: float = 0.2, past=()) -> list:
    """Go on from the events ``past`` with ``window`` proposals in flight, told in random order; return all events.

    An event is (trial, proposal, result); the result is None where the proposal was accepted.
    """
    events, flight = list(past), {}
    trial = sum(result is None for _, _, result in events)
    told_ok = {done for done, _, result in events if result is not None and result.status == 'ok'}
    order = np.random.default_rng(seed)
    while trial < trials or flight:
        proposal = _ask(searcher, trial, seed) if trial < trials and len(flight) < window else None
        if proposal is not None:
            strangers = set(proposal.meta.get('parents', ())) - told_ok
            assert not strangers, f'trial {trial} names parents that failed or have no result yet: {strangers}'
            flight[trial] = proposal
            events.append((trial, proposal, None))
            trial += 1
        elif flight:
            done = sorted(flight)[order.integers(len(flight))]
            result = _result(searcher, flight[done], done, broken)
            told_ok |= {done} if result.status == 'ok' else set()
            events.append((done, flight.pop(done), result))
        else:
            assert searcher.finished, f'ask({trial}) returns None with nothing in flight, yet it is not finished'
            break
        _apply(searcher, events[-1])
    return events


def _ask(searcher: Searcher, trial: int, seed: int) -> Optional[Proposal]:
    before = _state(searcher)
    first, again = (searcher.ask(trial, np.random.default_rng((seed, trial))) for _ in range(2))
    assert first == again, f'ask({trial}) is not a function of the state and the generator'
    assert _state(searcher) == before, f'ask({trial}) changes the state; only asked() and tell() may'
    if first is not None:
        searcher.space.check(first.genotype)
        assert searcher.space.decode(first.tokens) == first.genotype, 'the tokens of a proposal are not its genotype'
        assert json.loads(json.dumps(first.meta)) == first.meta, f'the meta of a proposal is not JSON: {first.meta}'
    return first


def _apply(searcher: Searcher, event: tuple) -> None:
    trial, proposal, result = event
    if result is None:
        searcher.asked(trial, proposal)
    else:
        searcher.tell(trial, proposal, result)


def _result(searcher: Searcher, proposal: Proposal, trial: int, broken: float) -> Result:
    """Return what depends on network and trial alone: a failure, or rewards in 0..1."""
    if np.random.default_rng(trial).random() < broken:
        return Result(('failed', 'refused')[trial % 2], error='told to fail')
    reward = int(searcher.space.key(proposal.genotype), 16) / 16 ** 16
    return Result('ok', (reward, 1 - reward) if searcher.many_objectives else reward, metrics=dict(score=reward))


def _through_json(event: tuple) -> tuple:
    trial, proposal, result = event
    text = json.dumps([proposal.genotype.to_json(), proposal.tokens, asdict(proposal.budget), proposal.meta])
    genotype, tokens, budget, meta = json.loads(text)
    return trial, Proposal(Genotype.from_json(genotype), tuple(tokens), Budget(**budget), meta), result


def _state(searcher: Searcher) -> str:
    return json.dumps(searcher.state_dict(), sort_keys=True, allow_nan=False)
