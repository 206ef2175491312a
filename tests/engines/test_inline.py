import pytest

from nasdet.engines import InlineEngine
from tests.engines.helpers import make_job, make_work_dir, run


@pytest.fixture
def engine(tmp_path):
    engine = InlineEngine(make_work_dir(tmp_path, type='ToyEstimator', log=str(tmp_path / 'log'),
                                        behaviours=dict(pool='fail', conv5='nan')))
    engine.start()
    yield engine
    engine.close()


def test_scores_and_failures_come_back(engine):
    good, = run(engine, make_job(engine.work_dir, 0))
    bad, = run(engine, make_job(engine.work_dir, 1, 'pool'))
    nan, = run(engine, make_job(engine.work_dir, 2, 'conv5'))
    assert good.status == 'ok' and 0 <= good.evaluation.metrics['score'] <= 1
    assert bad.status == 'failed' and 'told to fail' in bad.error
    assert nan.status == 'failed' and 'metric score is nan' in nan.error


def test_a_cancelled_job_never_runs(engine, tmp_path):
    engine.submit(make_job(tmp_path, 0))
    engine.cancel(0)
    assert engine.poll() == []
    assert not (tmp_path / 'log').exists()


def test_two_slots_are_refused(tmp_path):
    with pytest.raises(ValueError, match='LocalEngine'):
        InlineEngine(tmp_path, slots=2)
