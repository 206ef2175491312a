"""kill -9 of the driver and of workers at random moments loses at most the trials in flight, and changes nothing."""

import multiprocessing
import os
import random
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from nasdet.history import History
from tests.faults.drive import TRIALS, drive

DEADLINE = 240      # seconds for a run; reached only where something hangs
# One process imports torch and mmdet, and every driver is forked from it: a search is killed, not its imports.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['tests.faults.drive'])


class Run:
    """One search in a folder that is started, killed and started again."""

    def __init__(self, work_dir: Path, window: int):
        self.work_dir, self.window = work_dir, window
        self.errors = work_dir.with_suffix('.txt')
        self.log = work_dir / 'evaluations.log'
        work_dir.mkdir()

    def start(self, slots: int) -> None:
        self.process = CONTEXT.Process(target=drive, args=(str(self.work_dir), slots, self.window, str(self.errors)))
        self.process.start()

    def finish(self) -> None:
        self.process.join(DEADLINE)
        assert self.process.exitcode == 0, self.errors.read_text()[-4000:]

    def kill(self) -> None:
        self.process.kill()
        self.process.join(DEADLINE)
        assert self.process.exitcode in (-signal.SIGKILL, 0), self.errors.read_text()[-4000:]

    def wait_for_evaluations(self, number: int) -> None:
        """Wait until so many more evaluations have begun, or all are told, or the search has ended."""
        wanted = len(self.evaluations()) + number
        end = time.monotonic() + DEADLINE
        while len(self.evaluations()) < wanted and len(self.told()) < TRIALS:
            status = self.process.exitcode
            if status == 0:     # a kill between history and log leaves a line out: not all look told
                return
            assert status is None and time.monotonic() < end, self.errors.read_text()[-4000:]
            time.sleep(0.002)

    def kill_a_worker(self) -> None:
        """Kill the process that began the last evaluation, unless it has ended."""
        process = int(self.log.read_text().split()[-1])
        with suppress(FileNotFoundError, ProcessLookupError):
            if b'fork_server' in Path(f'/proc/{process}/cmdline').read_bytes():
                os.kill(process, signal.SIGKILL)

    def evaluations(self) -> list[int]:
        """Return the trial of every evaluation that a worker has begun."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        folders = [Path(line.split()[0]).relative_to(self.work_dir / 'trials') for line in lines]
        return [int(folder.parts[0]) for folder in folders]

    def told(self) -> set[int]:
        """Return the evaluated trials that have been told, from the log, which is written after the history."""
        log = self.work_dir / 'search.log'
        text = log.read_text() if log.exists() else ''
        return {int(number) for number in re.findall(r'trial (\d+) evaluated (?:ok|failed):', text)}

    def read(self) -> tuple[list, list, list]:
        """Return trials, events, and how each attempt ended."""
        history = History(self.work_dir / 'history.sqlite', read_only=True)
        trials = [(trial.key, trial.source, trial.status, trial.result.reward) for trial in history.trials()]
        events = [(kind, trial.trial) for _, kind, trial in history.events()]
        attempts = [status for trial in range(len(trials)) for _, status in history.attempts(trial)]
        history.close()
        return trials, events, attempts


def kill_at_random(run: Run, chance: random.Random, slots: int, moment: str) -> None:
    run.start(slots)
    if moment == 'preparation':
        time.sleep(chance.uniform(0, 1))
    elif moment == 'search':
        run.wait_for_evaluations(chance.randint(1, 4))
        run.kill_a_worker()
        run.wait_for_evaluations(chance.randint(1, 4))
        time.sleep(chance.uniform(0, 0.05))
    else:
        run.wait_for_evaluations(2 * TRIALS)
        time.sleep(chance.uniform(0, 0.02))     # the export of the best, or the end of the engine
    run.kill()


@pytest.mark.parametrize('slots', [1, 3])
def test_killed_search_equals_undisturbed(tmp_path, slots):
    undisturbed = Run(tmp_path / 'undisturbed', window=slots)
    undisturbed.start(slots=0)
    undisturbed.finish()

    run, chance = Run(tmp_path / 'killed', window=slots), random.Random(slots)
    again = Counter()
    for moment in [*['preparation'] * 3, *['search'] * 5, *['end'] * 2]:
        told, before = run.told(), Counter(run.evaluations())
        kill_at_random(run, chance, slots, moment)
        again.update({trial: count for trial, count in (Counter(run.evaluations()) - before).items() if trial in told})
    run.start(slots)
    run.finish()

    trials, events, attempts = run.read()
    assert [trials, events] == list(undisturbed.read()[:2])
    assert not again, f'recorded trials were evaluated again: {dict(again)}'
    lost = attempts.count('lost')
    assert lost >= 1, 'no worker was killed in the middle of an evaluation'
    assert len(run.evaluations()) <= TRIALS + lost + 7 * slots      # seven kills could catch trials in flight
    assert (run.work_dir / 'best' / 'genotype.json').read_text() == (
        undisturbed.work_dir / 'best' / 'genotype.json').read_text()
    assert sorted(path.name for path in run.work_dir.glob('.best*')) == []
