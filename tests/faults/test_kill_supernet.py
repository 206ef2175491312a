"""kill -9 of a driver that trains a supernet: the same command goes on at once, and comes to the same weights."""

import multiprocessing
import signal
import time
from pathlib import Path
from typing import Callable

import pytest
import torch

from nasdet.history import History
from nasdet.history.workdir import WorkDir
from tests.faults.drive import drive_supernet

DEADLINE = 240      # seconds for a run; reached only where something hangs
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['tests.faults.drive'])


def start(work_dir: Path, kind: str):
    process = CONTEXT.Process(target=drive_supernet, args=(str(work_dir), str(work_dir.with_suffix('.txt')), kind))
    process.start()
    return process


def finish(work_dir: Path, kind: str) -> None:
    process = start(work_dir, kind)
    process.join(DEADLINE)
    assert process.exitcode == 0, work_dir.with_suffix('.txt').read_text()[-4000:]


def kill_when(work_dir: Path, kind: str, condition: Callable[[int], bool]) -> None:
    """Start a run and kill it once the condition, of its process id, is true; it may have ended well before."""
    process = start(work_dir, kind)
    end = time.monotonic() + DEADLINE
    while process.is_alive() and not condition(process.pid):
        assert time.monotonic() < end
        time.sleep(0.001)
    process.kill()
    process.join(DEADLINE)
    assert process.exitcode in (-signal.SIGKILL, 0), work_dir.with_suffix('.txt').read_text()[-4000:]


def has_children(process: int) -> bool:
    children = Path(f'/proc/{process}/task/{process}/children')
    return children.exists() and children.read_text() != ''


def results(work_dir: Path) -> list:
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [(trial.key, trial.status, trial.result.reward) for trial in history.trials()]
    history.close()
    return found


def same_weights(a: Path, b: Path) -> bool:
    a, b = (torch.load(path, weights_only=True)['state_dict'] for path in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('kind', [
    'paths', 'classifier sandwich', pytest.param('detector sandwich', marks=pytest.mark.slow)])
def test_a_search_killed_while_it_trains_its_supernet_equals_an_undisturbed_one(kind, tmp_path):
    killed, undisturbed = tmp_path / 'killed', tmp_path / 'undisturbed'
    checkpoint, exported = killed / 'supernet' / 'epoch_1.pth', killed / '.best.new' / 'config.py'
    kill_when(killed, kind, lambda _: checkpoint.with_name('epoch_1.pth.tmp').exists() or checkpoint.exists())
    kill_when(killed, kind, lambda process: checkpoint.exists() and has_children(process))      # a worker loads data
    assert not (killed / 'supernet' / 'weights.pth').exists()
    folder = WorkDir(killed)
    folder.acquire()        # that worker, which lives for some seconds more, holds nothing
    folder.release()
    kill_when(killed, kind, lambda _: exported.exists())      # before the weights are there
    finish(killed, kind)
    finish(undisturbed, kind)
    assert results(killed) == results(undisturbed) and len(results(killed)) == 2
    for weights in ('supernet/weights.pth', 'best/weights.pth'):
        assert same_weights(killed / weights, undisturbed / weights)
    assert 'resumed epoch: 1' in (killed / 'supernet' / 'log.txt').read_text()
