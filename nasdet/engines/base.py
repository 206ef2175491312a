"""What an engine is: it decides where the work runs. And what a worker does with one job."""

import json
import math
import os
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from nasdet.errors import is_disk_full
from nasdet.estimators.base import Estimator
from nasdet.protocol import Evaluation, Job, Outcome

TRACEBACK_CHARACTERS = 4000
RESULT = 'result.json'


class Engine(ABC):
    """Runs jobs in ``slots`` places at once.

    Args:
        work_dir: The search's folder, from whose ``config.py`` a worker builds its estimator
            (:func:`nasdet.engines.worker.build_estimator`).
        slots: Jobs that run at the same time.
    """

    def __init__(self, work_dir: str, slots: int = 1):
        self.work_dir = str(work_dir)
        self.slots = slots

    def start(self) -> None:
        """Make the workers ready."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start a job; the caller never has more than ``slots`` under way."""

    @abstractmethod
    def poll(self, timeout: Optional[float] = None) -> list[Outcome]:
        """Return the outcomes that have arrived, waiting up to ``timeout`` seconds (None: for ever) for the first."""

    @abstractmethod
    def cancel(self, trial: int) -> None:
        """Stop a running job; it yields no outcome."""

    def close(self) -> None:
        """Stop everything."""


def run_job(estimator: Estimator, job: Job) -> Outcome:
    """Evaluate one job and leave ``result.json`` in its folder, complete or not at all.

    A full disk is nobody's result: it is raised, so that the search stops and the trial is evaluated when it goes on.
    """
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    evaluation, error = None, ''
    try:
        evaluation = estimator.evaluate(job.genotype, job.budget, job.seed, folder)
        bad = [name for name, value in evaluation.metrics.items() if not math.isfinite(value)]
        if not evaluation.metrics:
            raise ValueError('the evaluation gave no metrics')
        if bad:
            raise FloatingPointError(f'metric {bad[0]} is {evaluation.metrics[bad[0]]}')
    except Exception as raised:     # noqa: BLE001 - what an architecture does wrong is that trial's failure
        if is_disk_full(raised):
            raise
        evaluation, error = None, traceback.format_exc()[-TRACEBACK_CHARACTERS:]
    outcome = Outcome(job.trial, 'failed' if error else 'ok', evaluation, error, time.perf_counter() - started)
    write_result(job, outcome)
    return outcome


def write_result(job: Job, outcome: Outcome) -> None:
    """Write ``result.json`` to a temporary name, flush it to the disk, rename it."""
    data = dict(trial=job.trial, key=job.key, attempt=job.attempt, status=outcome.status, error=outcome.error,
                seconds=outcome.seconds, evaluation=outcome.evaluation and asdict(outcome.evaluation))
    path = Path(job.folder) / RESULT
    temporary = path.with_suffix('.tmp')
    with open(temporary, 'w') as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_result(job: Job) -> Optional[Outcome]:
    """Return the outcome that a worker left for a job, or None; a torn or foreign file is ignored with a warning."""
    path = Path(job.folder) / RESULT
    if not path.exists():
        return None
    try:
        return _checked(json.loads(path.read_text()), job)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f'{path} is ignored: {error}', stacklevel=2)
        return None


def _checked(data: dict, job: Job) -> Outcome:
    """Return the outcome in a result file; ValueError, KeyError or TypeError where no worker can have written it."""
    if (data['trial'], data['key']) != (job.trial, job.key):
        raise ValueError(f'it is of trial {data["trial"]} with key {data["key"]}')
    if data['status'] not in ('ok', 'failed'):
        raise ValueError(f'its status is {data["status"]!r}')
    evaluation = None
    if data['status'] == 'ok':
        evaluation = Evaluation(**data['evaluation'])
        if not evaluation.metrics or not all(math.isfinite(value) for value in evaluation.metrics.values()):
            raise ValueError(f'its metrics are {evaluation.metrics}')
    return Outcome(job.trial, data['status'], evaluation, str(data['error']), float(data['seconds']))
