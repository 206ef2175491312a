"""Work dirs, jobs and waiting, for the tests of engines."""

import time
from pathlib import Path

from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Job
from tests.toys import ToySpace


def make_work_dir(folder, **estimator) -> Path:
    """Write the config from which workers build their estimator."""
    config = f"""
custom_imports = dict(imports=['tests.engines.estimators'], allow_failed_imports=False)
search = dict(space=dict(type='ToySpace', num_decisions=2), estimator={estimator!r})
"""
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / 'config.py').write_text(config)
    return Path(folder)


def make_job(work_dir, trial: int, first: str = 'id') -> Job:
    """Return a job whose genotype has this first op, and whose seed is its trial."""
    layer = dict(op=first, width=8) if first.startswith('conv') else dict(op=first)
    genotype = Genotype('ToySpace', dict(layers=[layer, dict(op='conv3', width=8)]))
    folder = Path(work_dir) / 'trials' / f'{trial:06d}'
    return Job(trial, 1, ToySpace(2).key(genotype), genotype, Budget(), trial, str(folder))


def run(engine, *jobs) -> list:
    """Submit jobs at once, and return their outcomes in the order of the trials."""
    for job in jobs:
        engine.submit(job)
    outcomes = []
    while len(outcomes) < len(jobs):
        arrived = engine.poll(60)
        assert arrived, 'nothing arrived within 60 s'
        outcomes += arrived
    return sorted(outcomes, key=lambda outcome: outcome.trial)


def wait_until(condition, seconds: float = 10.0) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead but not yet reaped does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False
