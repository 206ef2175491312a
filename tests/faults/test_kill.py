"""kill -9 of the driver at random moments loses at most the trials in flight, and changes nothing."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from nasdet.history import EVALUATED, History
from tests.faults.drive import TRIALS

ROOT = Path(__file__).parents[2]
KILLS = 10


def start(work_dir: Path, slots: int) -> subprocess.Popen:
    work_dir.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, '-m', 'tests.faults.drive', str(work_dir), str(slots)], cwd=ROOT,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def rows(work_dir: Path) -> list:
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [(trial.key, trial.source, trial.status, trial.result.reward) for trial in history.trials()]
    events = [(kind, trial.trial) for _, kind, trial in history.events()]
    history.close()
    return [found, events]


def told(work_dir: Path) -> set:
    if not (work_dir / 'history.sqlite').exists():
        return set()
    try:
        history = History(work_dir / 'history.sqlite', read_only=True)
        done = {trial.trial for trial in history.trials() if trial.status == 'ok' and trial.source == EVALUATED}
    except Exception as error:      # the process may have been killed before the tables were there
        assert 'no such table' in str(error) or 'unable to open' in str(error)
        return set()
    history.close()
    return done


def evaluations(work_dir: Path) -> Counter:
    log = work_dir / 'evaluations.log'
    names = [Path(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []
    return Counter(int(next(part for part in name.parts if part.isdigit() and len(part) == 6)) for name in names)


@pytest.mark.parametrize('slots', [1, 3])
def test_killed_search_equals_undisturbed(tmp_path, slots):
    undisturbed = start(tmp_path / 'undisturbed', slots)
    began = time.monotonic()
    _, errors = undisturbed.communicate(timeout=120)
    duration = time.monotonic() - began
    assert undisturbed.returncode == 0, errors

    chance = random.Random(slots)
    work_dir = tmp_path / 'killed'
    again = Counter()
    for _ in range(KILLS):
        before, counts = told(work_dir), evaluations(work_dir)
        process = start(work_dir, slots)
        try:
            _, errors = process.communicate(timeout=chance.uniform(0.3, 1.0) * duration)
            assert process.returncode == 0, errors
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        again.update({trial: count for trial, count in (evaluations(work_dir) - counts).items() if trial in before})
    process = start(work_dir, slots)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors

    assert rows(work_dir) == rows(tmp_path / 'undisturbed')
    assert not again, f'recorded trials were evaluated again: {dict(again)}'
    assert sum(evaluations(work_dir).values()) <= TRIALS + (KILLS + 1) * slots
