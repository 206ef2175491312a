"""What an engine must hold to."""

import time
from dataclasses import replace
from typing import Callable, Optional, Sequence

from nasdet.engines.base import Engine, read_result
from nasdet.protocol import Job, Outcome

ENDINGS = ('ok', 'failed', 'lost', 'timeout')


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
