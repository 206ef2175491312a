import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasdet.engines import LocalEngine
from nasdet.engines.local import PRELOAD
from nasdet.errors import SearchError
from tests.engines.estimators import MEETING
from tests.engines.helpers import alive, make_job, make_work_dir, run, wait_until

GIB = 2 ** 30


@pytest.fixture(scope='module')
def engine(tmp_path_factory):
    """One engine for all tests that do not need their own; the genotype says how a job behaves."""
    folder = tmp_path_factory.mktemp('jobs')
    endless = make_job(folder, 0, width=32).key
    work_dir = make_work_dir(folder, type='ProcessEstimator',
                             behaviours={'pool': 'fail', 'conv3': 'kill', 'conv5': 'memory', endless: 'hang'})
    engine = LocalEngine(work_dir, slots=3, memory=GIB, preload=())
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts an engine on an estimator; it is closed after the test."""
    engines = []

    def start(estimator: dict, **settings):
        engines.append(LocalEngine(make_work_dir(tmp_path, **estimator), **{'preload': (), **settings}))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def test_each_job_has_a_process_of_its_own_with_the_estimators_threads(engine):
    first, = run(engine, make_job(engine.work_dir, 0))
    second, = run(engine, make_job(engine.work_dir, 1))
    assert first.status == second.status == 'ok'
    assert len({first.evaluation.metrics['pid'], second.evaluation.metrics['pid'], os.getpid()}) == 3
    assert first.evaluation.metrics['threads'] == 2


def test_what_a_job_prints_is_appended_to_its_log(engine, capfd):
    log = Path(make_job(engine.work_dir, 2).folder) / 'log.txt'
    run(engine, make_job(engine.work_dir, 2))
    run(engine, make_job(engine.work_dir, 2))
    assert log.read_text() == 'evaluating seed 2\n' * 2
    assert capfd.readouterr() == ('', '')


def test_an_exception_is_a_failure_with_its_traceback(engine):
    outcome, = run(engine, make_job(engine.work_dir, 3, 'pool'))
    assert outcome.status == 'failed'
    assert outcome.error.startswith('Traceback') and 'told to fail' in outcome.error


def test_a_killed_process_is_lost(engine):
    outcome, = run(engine, make_job(engine.work_dir, 4, 'conv3'))
    assert outcome.status == 'lost' and 'SIGKILL' in outcome.error


def test_memory_beyond_the_limit_is_a_failure(engine):
    outcome, = run(engine, make_job(engine.work_dir, 5, 'conv5'))
    assert outcome.status == 'failed' and 'MemoryError' in outcome.error


def test_the_fork_server_has_one_thread(engine):
    status = Path(f'/proc/{engine._server._process.pid}/status').read_text()
    assert 'Threads:\t1\n' in status


def test_an_engine_without_jobs_has_nothing_to_wait_for(engine):
    assert engine.poll(None) == []


def test_slots_run_at_the_same_time(engine):
    outcomes = run(engine, *(make_job(engine.work_dir, MEETING + i) for i in range(3)))
    assert [outcome.status for outcome in outcomes] == ['ok'] * 3


def test_poll_comes_back_in_time(engine):
    engine.submit(make_job(engine.work_dir, 6, width=32))
    started = time.monotonic()
    assert engine.poll(0.3) == []
    assert 0.3 <= time.monotonic() - started < 3
    engine.cancel(6)


def test_a_dead_fork_server_loses_the_jobs_and_is_replaced(engine):
    engine.submit(make_job(engine.work_dir, 7, width=32))
    os.kill(engine._server._process.pid, signal.SIGKILL)
    outcome, = engine.poll(20)
    assert outcome.status == 'lost' and 'engine.log' in outcome.error
    assert run(engine, make_job(engine.work_dir, 8))[0].status == 'ok'


def test_a_result_that_was_written_before_death_counts(start, tmp_path):
    engine = start(dict(type='ResultThenDeath'))
    outcome, = run(engine, make_job(tmp_path, 7))
    assert outcome.status == 'ok' and outcome.evaluation.metrics == dict(score=0.5)


def test_a_set_up_that_raises_fails_the_job(start, tmp_path):
    engine = start(dict(type='ProcessEstimator', broken=True, lives_long=True))
    for trial in range(2):
        outcome, = run(engine, make_job(tmp_path, trial))
        assert outcome.status == 'failed' and 'supernet.pth is not there' in outcome.error


def test_timeout_and_cancel_end_all_that_a_job_started(start, tmp_path):
    engine = start(dict(type='ParentEstimator'), slots=2, timeout=3)
    jobs = [make_job(tmp_path, trial) for trial in range(2)]
    for job in jobs:
        engine.submit(job)
    with pytest.raises(RuntimeError, match='all 2 slots'):
        engine.submit(make_job(tmp_path, 2))
    pids = started_by(jobs)
    engine.cancel(0)
    assert wait_until(lambda: not any(alive(pid) for pid in pids[:2])) and all(alive(pid) for pid in pids[2:])
    started = time.process_time()
    outcome, = engine.poll(20)
    assert time.process_time() - started < 0.5, 'poll must not be busy while it waits'
    assert (outcome.trial, outcome.status) == (1, 'timeout') and 'longer than 3 s' in outcome.error
    assert wait_until(lambda: not any(alive(pid) for pid in pids))
    assert engine.poll(0.1) == []


def test_a_long_lived_worker_is_set_up_once_and_replaced_when_it_dies(start, tmp_path):
    setups = tmp_path / 'setups'
    engine = start(dict(type='ProcessEstimator', lives_long=True, setups=str(setups), behaviours=dict(conv3='kill')))
    pids = [run(engine, make_job(tmp_path, trial))[0].evaluation.metrics['pid'] for trial in range(3)]
    assert len(set(pids)) == 1 and setups.read_text().split() == [str(pids[0])]
    assert run(engine, make_job(tmp_path, 3, 'conv3'))[0].status == 'lost'
    after, = run(engine, make_job(tmp_path, 4))
    assert after.status == 'ok' and after.evaluation.metrics['pid'] != pids[0]
    os.kill(after.evaluation.metrics['pid'], signal.SIGKILL)      # while it is idle
    assert wait_until(engine._server.pipe.poll), 'its end was not reported'
    assert run(engine, make_job(tmp_path, 5))[0].status == 'ok'
    assert len(setups.read_text().split()) == 3
    assert (tmp_path / 'trials/000002/log.txt').read_text() == 'evaluating seed 2\n'


def test_a_killed_driver_leaves_no_process(tmp_path, repo_root):
    make_work_dir(tmp_path, type='ParentEstimator')
    driver = subprocess.Popen([sys.executable, '-m', 'tests.engines.drive', tmp_path], cwd=repo_root)
    pids = started_by([make_job(tmp_path, trial) for trial in range(2)])
    server = int(Path(f'/proc/{driver.pid}/task/{driver.pid}/children').read_text())
    assert all(alive(pid) for pid in [server, *pids])
    driver.kill()
    driver.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in [server, *pids])), 'a process has survived its driver'


def test_close_ends_everything_and_may_be_repeated(start, tmp_path):
    engine = start(dict(type='ParentEstimator'))
    job = make_job(tmp_path, 0)
    engine.submit(job)
    pids = [engine._server._process.pid, *started_by([job])]
    engine.close()
    engine.close()
    assert wait_until(lambda: not any(alive(pid) for pid in pids))
    assert engine.poll() == []


def test_a_preload_that_fails_is_told_at_the_start(tmp_path):
    engine = LocalEngine(make_work_dir(tmp_path, type='ToyEstimator'), preload=['nasdet.no_such_module'])
    with pytest.raises(SearchError, match='No module named .nasdet.no_such_module'):
        engine.start()


def test_with_mmdet_imported_a_trial_starts_at_once(start, tmp_path):
    engine = start(dict(type='ProcessEstimator'), preload=PRELOAD)
    assert 'Threads:\t1\n' in Path(f'/proc/{engine._server._process.pid}/status').read_text()
    for trial in range(2):
        submitted = time.time()
        outcome, = run(engine, make_job(tmp_path, trial))
        assert outcome.evaluation.metrics['started'] - submitted < 2


def started_by(jobs) -> list[int]:
    """Return the process ids that jobs of ParentEstimator wrote: each its own and its child's."""
    files = [Path(job.folder) / 'pids' for job in jobs]
    assert wait_until(lambda: all(file.exists() for file in files), 60)
    return [int(pid) for file in files for pid in file.read_text().split()]
