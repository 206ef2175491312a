"""The engine without processes: the driver evaluates the jobs itself, one after the other."""

from collections import deque
from typing import Optional

import torch

from nasdet.engines.base import Engine, run_job
from nasdet.engines.worker import build_estimator
from nasdet.estimators.base import Estimator
from nasdet.protocol import Job, Outcome
from nasdet.registry import ENGINES


@ENGINES.register_module()
class InlineEngine(Engine):
    """Runs one job at a time in the driver: for debugging, and for estimators that take no time, such as tables.

    A job runs when it is polled, not when it is submitted, so that ``submit`` returns at once and ``cancel`` has a
    meaning, as with every other engine. What a job prints goes to the driver's terminal. A crash or a hang of a job
    is one of the driver: there is no time limit, and nothing is ever lost.

    Args:
        work_dir: The search's folder.
        slots: 1; there is as an argument so that a config can change its engine's type alone.

    Raises:
        ValueError: More slots than one.
    """

    def __init__(self, work_dir: str, slots: int = 1):
        if slots != 1:
            raise ValueError(f'InlineEngine has one slot, not {slots}: use LocalEngine to run trials in parallel')
        super().__init__(work_dir, slots)
        self._jobs: deque[Job] = deque()
        self._estimator: Optional[Estimator] = None

    def start(self) -> None:
        """Build the estimator and set it up; whatever that raises is raised here."""
        self._estimator = build_estimator(self.work_dir)
        torch.set_num_threads(self._estimator.threads)
        self._estimator.setup()

    def submit(self, job: Job) -> None:
        """Keep a job for the next poll."""
        self._jobs.append(job)

    def poll(self, timeout: Optional[float] = None) -> list[Outcome]:
        """Run the job that has waited longest, however long it takes; no outcome where none waits."""
        if not self._jobs:
            return []
        return [run_job(self._estimator, self._jobs.popleft())]

    def cancel(self, trial: int) -> None:
        """Forget a job that has not run yet."""
        self._jobs = deque(job for job in self._jobs if job.trial != trial)

    def close(self) -> None:
        """Forget all jobs and the estimator."""
        self._jobs.clear()
        self._estimator = None
