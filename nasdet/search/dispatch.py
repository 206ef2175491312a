"""Between the loop and an engine: attempts, retries after a lost process, and results left by a killed search."""

import logging
from collections import deque
from pathlib import Path

from nasdet.engines.base import Engine, read_result
from nasdet.engines.process import LOG
from nasdet.history import History, Trial
from nasdet.history.workdir import WorkDir
from nasdet.protocol import Job, Outcome

ATTEMPTS = 3
LOG_CHARACTERS = 4000
logger = logging.getLogger('nasdet.search')


class Dispatcher:
    """Runs the evaluation of trials, and answers with one final outcome each.

    Args:
        engine: Where they run.
        history: Records the attempts.
        work_dir: Where their files go.
    """

    def __init__(self, engine: Engine, history: History, work_dir: WorkDir):
        self.engine = engine
        self.history = history
        self.work_dir = work_dir
        self._waiting: deque[Job] = deque()
        self._running: dict[int, Job] = {}
        self._arrived: dict[int, Outcome] = {}

    def start(self, trial: Trial) -> None:
        """Have a new trial evaluated."""
        self._enqueue(trial, attempt=1)

    def resume(self, trial: Trial) -> None:
        """Take up a trial that was under way when the search was killed: harvest its result, or begin anew.

        An attempt whose loss or timeout was recorded has ended, though it left no result.
        """
        attempts = self.history.attempts(trial.trial)
        if not attempts:
            self.start(trial)
            return
        last, status = attempts[-1]
        job = self._job(trial, last)
        outcome = read_result(job)
        if outcome is not None:
            logger.info('trial %d: its result was found, harvested', trial.trial)
            self.history.end_attempt(trial.trial, last, outcome.seconds, outcome.status, outcome.error)
            self._arrived[trial.trial] = outcome
        elif status in ('lost', 'timeout'):
            self._settle(job, self.history.outcome(trial.trial, last))
        else:
            self._enqueue(trial, last + 1)

    def wait(self, trial: int) -> Outcome:
        """Return the final outcome of a trial; its status is 'ok' or 'failed'."""
        while trial not in self._arrived:
            self._poll()
        return self._arrived.pop(trial)

    def first(self) -> int:
        """Wait for any outcome, and return the trial number of the earliest trial that has one."""
        while not self._arrived:
            self._poll()
        return min(self._arrived)

    def _job(self, trial: Trial, attempt: int) -> Job:
        proposal = trial.proposal
        return Job(trial.trial, attempt, trial.key, proposal.genotype, proposal.budget, trial.seed,
                   str(self.work_dir.trial(trial.trial, attempt)))

    def _enqueue(self, trial: Trial, attempt: int) -> None:
        self._waiting.append(self._job(trial, attempt))
        self._submit()

    def _submit(self) -> None:
        while self._waiting and len(self._running) < self.engine.slots:
            job = self._waiting.popleft()
            self.history.begin_attempt(job.trial, job.attempt)
            self._running[job.trial] = job
            self.engine.submit(job)

    def _poll(self) -> None:
        self._submit()
        for outcome in self.engine.poll(None):
            self._arrive(outcome)

    def _arrive(self, outcome: Outcome) -> None:
        job = self._running.pop(outcome.trial)
        self.history.end_attempt(job.trial, job.attempt, outcome.seconds, outcome.status, outcome.error)
        self._settle(job, outcome)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Make of how an attempt ended another attempt, or the outcome of the trial."""
        lost = [status for _, status in self.history.attempts(job.trial) if status == 'lost']
        if outcome.status == 'lost' and len(lost) < ATTEMPTS:
            logger.warning('trial %d: its process was lost (%s), tried again', job.trial, outcome.error)
            again = self.work_dir.trial(job.trial, job.attempt + 1)
            self._waiting.appendleft(Job(job.trial, job.attempt + 1, job.key, job.genotype, job.budget, job.seed,
                                         str(again)))
        elif outcome.status == 'ok':
            self._arrived[job.trial] = outcome
        else:
            reason = {'lost': f'its process was lost {len(lost)} times: ', 'timeout': 'too slow: '}
            error = reason.get(outcome.status, '') + outcome.error
            if outcome.status in reason:    # the process could not say what was wrong: its log may
                error = _end_of_log(job, error)
            self._arrived[job.trial] = Outcome(job.trial, 'failed', None, error, outcome.seconds)


def _end_of_log(job: Job, error: str) -> str:
    """Write why a job failed below what its process printed, where a crash leaves its traceback; return the end."""
    log = Path(job.folder) / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, 'a+', errors='replace') as file:
        file.seek(0)
        if not file.read().endswith(f'{error}\n'):     # else it was written before a kill of the search
            file.write(f'{error}\n')
    lines = log.read_text(errors='replace').splitlines()
    kept = [line for line in lines if not line.startswith('Extension modules:')]    # faulthandler's, a screenful
    return '\n'.join(kept)[-LOG_CHARACTERS:]
