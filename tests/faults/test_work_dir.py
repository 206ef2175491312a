"""A work dir that cannot be used, or that fills the disk: one sentence, and the search goes on when it is mended."""

import os
import socket
import subprocess

import pytest

from nasdet.cli import main
from nasdet.history import History
from nasdet.history.workdir import WorkDir
from nasdet.search import Search
from tests.faults.drive import toy_config

# ---- the work dir

def test_a_work_dir_of_another_config(toy_search, tmp_path, capfd):
    Search.from_cfg(toy_config(tmp_path / 'evaluations.log', 0), str(tmp_path / 'work')).close()
    error = toy_search(seed=4, space=dict(type='ToySpace', num_decisions=6), lines=3)
    assert 'work belongs to another search: choose another --work-dir, or undo:' in error
    assert '  search.seed: 3 there, 4 here\n' in error
    assert '  search.space.num_decisions: 5 there, 6 here\n' in error


def test_engine_and_budget_may_change(tmp_path):
    for slots, trials in ((0, 5), (2, 8)):
        cfg = toy_config(tmp_path / 'evaluations.log', slots, budget=dict(trials=trials))
        Search.from_cfg(cfg, str(tmp_path / 'work')).close()


def test_a_work_dir_in_use(toy_search, tmp_path):
    holder = WorkDir(tmp_path / 'work')
    holder.acquire()
    assert f'is in use by pid {os.getpid()} on {socket.gethostname()}: wait for it, stop it' in toy_search()
    holder.release()


def test_a_work_dir_that_is_a_file(toy_search, tmp_path):
    (tmp_path / 'work').write_text('')
    assert f'cannot make the work dir {tmp_path}/work: File exists' in toy_search()


# ---- a full disk

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 megabytes."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f'needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


def toy_command(tmp_path, work_dir, slots=0):
    toy_config(tmp_path / 'evaluations.log', slots, budget=dict(trials=6)).dump(str(tmp_path / 'toy.py'))
    return ['search', str(tmp_path / 'toy.py'), '--work-dir', str(work_dir)]


def statuses(work_dir):
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [trial.status for trial in history.trials()]
    history.close()
    return found


@pytest.mark.parametrize('free', [0, 4096, 20480, 60000])
def test_a_full_disk(small_disk, refused, tmp_path, free):
    (small_disk / 'filler').write_bytes(bytes(2 ** 24 - free))
    command = toy_command(tmp_path, small_disk / 'work')
    assert 'the disk is full' in refused(*command, work_dir=None)
    (small_disk / 'filler').unlink()
    assert main(command) == 0


@pytest.mark.parametrize('name', ['config.py', 'report.html'])
def test_a_full_disk_before_and_after_the_search(tmp_path, capfd, name):
    """The kernel itself says, of /dev/full, that there is no space; no right to mount anything is needed."""
    work_dir = tmp_path / 'work'
    command = toy_command(tmp_path, work_dir)
    work_dir.mkdir()
    temporary = work_dir / f'.{name}.{os.getpid()}'
    temporary.symlink_to('/dev/full')
    assert main(command) == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith('nasdet: the disk is full')
    temporary.unlink()
    assert main(command) == 0
    assert set(statuses(work_dir)) == {'ok'}


@pytest.mark.parametrize('slots', [0, 2])
def test_a_disk_that_fills_later_is_no_failure_of_a_trial(tmp_path, capfd, slots):
    work_dir = tmp_path / 'work'
    command = toy_command(tmp_path, work_dir, slots)
    result = work_dir / 'trials' / '000003' / 'result.tmp'
    result.parent.mkdir(parents=True)
    result.symlink_to('/dev/full')
    assert main(command) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1].startswith('nasdet: the disk is full') and 'Traceback' not in lines
    assert statuses(work_dir)[3] == 'running' and set(statuses(work_dir)) == {'ok', 'running'}
    result.unlink()
    assert main(command) == 0
    assert set(statuses(work_dir)) == {'ok'}
