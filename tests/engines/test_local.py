import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasdet.engines import LocalEngine
from nasdet.errors import SearchError
from tests.engines.estimators import MEETING
from tests.engines.helpers import alive, make_job, make_work_dir, run, wait_until

GIB = 2 ** 30


@pytest.fixture(scope='module')
def fork_server(tmp_path_factory):
    """One engine, because its start takes seconds."""
    engine = LocalEngine(tmp_path_factory.mktemp('engine'), slots=3, memory=GIB, preload=())
    yield engine
    engine.close()


@pytest.fixture
def start(fork_server):
    """Return a function that gives the engine another estimator, which every new worker builds, and a time limit."""
    def start(timeout=None, **estimator) -> LocalEngine:
        make_work_dir(fork_server.work_dir, **estimator)
        fork_server.timeout = timeout
        fork_server.start()
        return fork_server
    return start


def test_each_job_has_a_process_of_its_own_with_the_estimators_threads(start, tmp_path):
    engine = start(type='ProcessEstimator')
    first, = run(engine, make_job(tmp_path, 0))
    second, = run(engine, make_job(tmp_path, 1))
    assert first.status == second.status == 'ok'
    assert len({first.evaluation.metrics['pid'], second.evaluation.metrics['pid'], os.getpid()}) == 3
    assert first.evaluation.metrics['threads'] == 2


def test_what_a_job_prints_is_appended_to_its_log(start, tmp_path, capfd):
    engine = start(type='ProcessEstimator')
    run(engine, make_job(tmp_path, 2))
    run(engine, make_job(tmp_path, 2))
    assert (Path(make_job(tmp_path, 2).folder) / 'log.txt').read_text() == 'evaluating seed 2\n' * 2
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('behaviour, status, words', [
    ('fail', 'failed', 'told to fail'),
    ('kill', 'lost', 'SIGKILL'),
    ('memory', 'failed', 'MemoryError'),
])
def test_what_a_job_does_wrong_is_its_outcome(start, tmp_path, behaviour, status, words):
    engine = start(type='ToyEstimator', behaviours={'*': behaviour})
    outcome, = run(engine, make_job(tmp_path, 0))
    assert outcome.status == status and words in outcome.error
    assert outcome.error.startswith('Traceback') == (status == 'failed')


def test_a_set_up_that_raises_fails_the_job(start, tmp_path):
    engine = start(type='ProcessEstimator', broken=True, lives_long=True)
    for trial in range(2):
        outcome, = run(engine, make_job(tmp_path, trial))
        assert outcome.status == 'failed' and 'supernet.pth is not there' in outcome.error


def test_a_result_that_was_written_before_death_counts(start, tmp_path):
    engine = start(type='ResultThenDeath')
    outcome, = run(engine, make_job(tmp_path, 7))
    assert outcome.status == 'ok' and outcome.evaluation.metrics == dict(score=0.5)


def test_slots_run_at_the_same_time(start, tmp_path):
    engine = start(type='ProcessEstimator')
    outcomes = run(engine, *(make_job(tmp_path, MEETING + i) for i in range(3)))
    assert [outcome.status for outcome in outcomes] == ['ok'] * 3


def test_poll_comes_back_in_time(start, tmp_path):
    engine = start(type='ToyEstimator', behaviours={'*': 'hang'})
    assert engine.poll(None) == [], 'without a job there is nothing to wait for'
    for trial in range(3):
        engine.submit(make_job(tmp_path, trial))
    with pytest.raises(RuntimeError, match='all 3 slots'):
        engine.submit(make_job(tmp_path, 3))
    started = time.monotonic()
    assert engine.poll(0.3) == []
    assert 0.3 <= time.monotonic() - started < 3
    for trial in range(3):
        engine.cancel(trial)
    assert engine.poll(None) == []


def test_timeout_and_cancel_end_all_that_a_job_started(start, tmp_path):
    engine = start(type='ParentEstimator', timeout=5)
    jobs = [make_job(tmp_path, trial) for trial in range(2)]
    for job in jobs:
        engine.submit(job)
    pids = started_by(jobs)
    engine.cancel(0)
    assert wait_until(lambda: not any(alive(pid) for pid in pids[:2])) and all(alive(pid) for pid in pids[2:])
    started = time.process_time()
    outcome, = engine.poll(20)
    assert time.process_time() - started < 0.5, 'poll must not be busy while it waits'
    assert (outcome.trial, outcome.status) == (1, 'timeout') and 'longer than 5 s' in outcome.error
    assert wait_until(lambda: not any(alive(pid) for pid in pids))
    assert engine.poll(0.1) == []


def test_close_ends_everything_and_may_be_repeated(start, tmp_path):
    engine = start(type='ParentEstimator')
    job = make_job(tmp_path, 0)
    engine.submit(job)
    pids = [engine._server._process.pid, *started_by([job])]
    engine.close()
    engine.close()
    assert not any(alive(pid) for pid in pids[:2]) and wait_until(lambda: not alive(pids[2]))
    assert engine.poll() == []


def test_a_dead_fork_server_loses_the_jobs_and_is_replaced(start, tmp_path):
    engine = start(type='ToyEstimator', behaviours=dict(pool='hang'))
    engine.submit(make_job(tmp_path, 0, 'pool'))
    os.kill(engine._server._process.pid, signal.SIGKILL)
    outcome, = engine.poll(20)
    assert outcome.status == 'lost' and 'engine.log' in outcome.error
    assert run(engine, make_job(tmp_path, 1))[0].status == 'ok'


def test_a_long_lived_worker_is_set_up_once_and_replaced_when_it_dies(tmp_path):
    setups = tmp_path / 'setups'
    engine = LocalEngine(make_work_dir(tmp_path, type='ProcessEstimator', lives_long=True, setups=str(setups),
                                       behaviours=dict(conv3='kill')), preload=())
    pids = [run(engine, make_job(tmp_path, trial))[0].evaluation.metrics['pid'] for trial in range(3)]
    assert len(set(pids)) == 1 and setups.read_text().split() == [str(pids[0])]
    assert (tmp_path / 'trials/000002/log.txt').read_text() == 'evaluating seed 2\n'
    assert run(engine, make_job(tmp_path, 3, 'conv3'))[0].status == 'lost'
    after, = run(engine, make_job(tmp_path, 4))
    assert after.status == 'ok' and after.evaluation.metrics['pid'] != pids[0]
    os.kill(after.evaluation.metrics['pid'], signal.SIGKILL)      # while it is idle
    assert wait_until(engine._server.pipe.poll), 'its end was not reported'
    assert run(engine, make_job(tmp_path, 5))[0].status == 'ok'
    assert len(setups.read_text().split()) == 3
    engine.close()


def test_a_killed_driver_leaves_no_process(tmp_path, repo_root):
    make_work_dir(tmp_path, type='ParentEstimator')
    driver = subprocess.Popen([sys.executable, '-m', 'tests.engines.drive', tmp_path], cwd=repo_root)
    pids = started_by([make_job(tmp_path, trial) for trial in range(2)])
    server = int(Path(f'/proc/{driver.pid}/task/{driver.pid}/children').read_text())
    assert all(alive(pid) for pid in [server, *pids])
    driver.kill()
    driver.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in [server, *pids])), 'a process has survived its driver'


def test_a_preload_that_fails_is_told_at_the_start(tmp_path):
    engine = LocalEngine(tmp_path, preload=['nasdet.no_such_module'])
    with pytest.raises(SearchError, match='No module named .nasdet.no_such_module'):
        engine.start()


def test_with_mmdet_imported_a_trial_starts_at_once(tmp_path):
    engine = LocalEngine(make_work_dir(tmp_path, type='ProcessEstimator'))
    engine.start()
    status = Path(f'/proc/{engine._server._process.pid}/status').read_text()
    assert 'Threads:\t1\n' in status, 'a thread would not survive a fork'
    for trial in range(2):
        submitted = time.time()
        outcome, = run(engine, make_job(tmp_path, trial))
        assert outcome.evaluation.metrics['started'] - submitted < 2
    engine.close()


def started_by(jobs) -> list[int]:
    """Return the process ids that jobs of ParentEstimator wrote: each its own and its child's."""
    files = [Path(job.folder) / 'pids' for job in jobs]
    assert wait_until(lambda: all(file.exists() for file in files), 60)
    return [int(pid) for file in files for pid in file.read_text().split()]
