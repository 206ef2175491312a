"""Conformance suites: what anyone's Space, Searcher, Estimator, Cost and Engine must hold to.

Plain functions for a test to call; each raises AssertionError with a sentence that says what is wrong::

    def test_my_space():
        check_space(MySpace(), np.random.default_rng(0))
"""

import json
import math
import tempfile
import time
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, Optional, Sequence

import numpy as np

from nasdet.costs.base import Cost
from nasdet.engines.base import Engine, read_result
from nasdet.estimators.base import Estimator
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation, Job, Outcome, Proposal, Result
from nasdet.searchers.base import Searcher
from nasdet.spaces.base import Space

ENDINGS = ('ok', 'failed', 'lost', 'timeout')


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


def check_estimator(estimator: Estimator, genotype: Genotype, budget: Optional[Budget] = None,
                    seed: int = 0) -> None:
    """Check an estimator: equal arguments give equal metrics, and everything it returns is JSON data.

    Args:
        estimator: Fresh, not yet set up.
        genotype: One that it can score.
        budget: A small one; None leaves everything to the estimator.
        seed: Of the evaluations.
    """
    budget = budget or Budget()
    estimator.check()
    estimator.prepare()
    estimator.setup()
    fingerprint = estimator.fingerprint
    assert isinstance(fingerprint, str) and fingerprint, f'fingerprint is {fingerprint!r}, not a hash'
    for method in estimator.requires:
        assert estimator.space.can(method), f'it requires Space.{method}, which its space does not have'
    with tempfile.TemporaryDirectory() as folder:
        first = estimator.evaluate(genotype, budget, seed, Path(folder))
    again = estimator.evaluate(genotype, budget, seed)
    assert isinstance(first, Evaluation), f'evaluate() returns {type(first).__name__}, not an Evaluation'
    assert first.metrics, 'evaluate() returns no metrics'
    missing = set(estimator.metric_names or ()) - first.metrics.keys()
    assert not missing, f'metric_names has {missing}, evaluate() has not'
    for name, value in first.metrics.items():
        assert isinstance(value, float) and math.isfinite(value), f'metric {name} is {value!r}, not a finite float'
    assert again.metrics == first.metrics, 'equal arguments give other metrics the second time, or without a folder'
    data = json.loads(json.dumps(asdict(first), allow_nan=False))
    assert data == asdict(first), f'an evaluation changes on its way through JSON: {first}'
    assert estimator.fingerprint == fingerprint, 'fingerprint changes with use'


def check_cost(cost: Cost, genotypes: Sequence[Genotype]) -> None:
    """Check a cost: deterministic, finite, and without a trace on the model config it reads.

    Args:
        cost: The cost.
        genotypes: What it measures.
    """
    model = deepcopy(cost.model)
    assert isinstance(cost.name, str) and cost.name, 'a cost has a name'
    for genotype in genotypes:
        value = cost(genotype)
        assert isinstance(value, (int, float)) and math.isfinite(value), f'{cost.name} is {value!r}, not a number'
        assert value >= 0, f'{cost.name} is {value} {cost.unit}, below zero'
        assert cost(genotype) == value, f'{cost.name} differs the second time'
    assert cost.model == model, f'{cost.name} changes the model config that it was given'


def check_engine(make_engine: Callable[[], Engine], jobs: Sequence[Job], expected: Optional[dict] = None,
                 timeout: float = 60) -> None:
    """Check an engine: one outcome a job, ``result.json`` left behind, none after ``cancel``.

    Args:
        make_engine: Returns a new engine, not started, whose work dir holds the ``config.py`` of an estimator.
        jobs: At least one, with different trials.
        expected: Status by trial; ``'ok'`` where it says nothing.
        timeout: Seconds that all jobs together may take.
    """
    engine = make_engine()
    engine.start()
    try:
        assert engine.poll(0) == [], 'poll() returns an outcome before anything was submitted'
        for outcome in _run_all(engine, jobs, timeout):
            job = next(job for job in jobs if job.trial == outcome.trial)
            status = (expected or {}).get(job.trial, 'ok')
            assert outcome.status == status, f'trial {job.trial} is {outcome.status}, not {status}: {outcome.error}'
            assert (outcome.evaluation is None) == (status != 'ok'), f'{status} with {outcome.evaluation}'
            assert status == 'ok' or outcome.error, f'trial {job.trial} is {status} without a word why'
            left = read_result(job)
            assert status not in ('ok', 'failed') or left.evaluation == outcome.evaluation, 'result.json differs'
        cancelled = replace(jobs[0], trial=max(job.trial for job in jobs) + 1)
        engine.submit(cancelled)
        engine.cancel(cancelled.trial)
        assert engine.poll(1) == [], 'a cancelled job yields an outcome'
    finally:
        engine.close()
    engine.close()      # a second time does no harm


def _run_all(engine: Engine, jobs: Sequence[Job], timeout: float) -> list[Outcome]:
    """Submit as slots become free; return one outcome a job."""
    waiting, outcomes, limit = list(jobs), [], time.monotonic() + timeout
    while len(outcomes) < len(jobs):
        while waiting and len(jobs) - len(waiting) - len(outcomes) < engine.slots:
            engine.submit(waiting.pop(0))
        outcomes += engine.poll(1)
        assert time.monotonic() < limit, f'{len(jobs) - len(outcomes)} jobs have no outcome after {timeout} s'
    trials = [outcome.trial for outcome in outcomes]
    assert sorted(trials) == sorted(job.trial for job in jobs), f'outcomes are of other trials: {trials}'
    assert all(outcome.status in ENDINGS for outcome in outcomes), f'a status is not one of {ENDINGS}: {outcomes}'
    return outcomes


def _refuses(call: Callable[[], object], complaint: str) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError(complaint)
