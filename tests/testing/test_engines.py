"""The suite of engines accepts what is right and finds what is broken."""

from dataclasses import replace

import pytest

from nasdet.engines.base import Engine, run_job
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Job, Outcome
from nasdet.testing import check_engine
from tests.toys import ToyEstimator, ToySpace


class Direct(Engine):
    """Runs jobs when they are polled."""

    def __init__(self, work_dir, slots=1):
        super().__init__(work_dir, slots)
        self.queue = []
        self.estimator = ToyEstimator(ToySpace(4), behaviours={'conv5': 'fail'})

    def submit(self, job):
        self.queue.append(job)

    def poll(self, timeout=None):
        return [run_job(self.estimator, self.queue.pop(0))] if self.queue else []

    def cancel(self, trial):
        self.queue = [job for job in self.queue if job.trial != trial]


class Uncancelling(Direct):
    def cancel(self, trial):
        pass


class Mistaken(Direct):
    def poll(self, timeout=None):
        return [replace(outcome, trial=0) for outcome in super().poll(timeout)]


class Silent(Direct):
    def poll(self, timeout=None):
        return [Outcome(outcome.trial, 'failed') for outcome in super().poll(timeout)]


def jobs(folder, first_ops=('id', 'conv3', 'conv5', 'pool')):
    space = ToySpace(4)
    for trial, op in enumerate(first_ops):
        layer = dict(op=op, width=8) if op.startswith('conv') else dict(op=op)
        genotype = Genotype('ToySpace', dict(layers=[layer, dict(op='id'), dict(op='id'), dict(op='conv3', width=8)]))
        space.check(genotype)
        yield Job(trial, 1, space.key(genotype), genotype, Budget(), 0, str(folder / f'{trial:06d}'))


def test_a_right_engine_passes(tmp_path):
    check_engine(lambda: Direct(tmp_path, slots=2), list(jobs(tmp_path)), expected={2: 'failed'})


@pytest.mark.parametrize('engine, complaint', [
    (Uncancelling, 'cancelled'), (Mistaken, 'other trials'), (Silent, 'not ok|without a word')])
def test_a_broken_engine_is_found(engine, complaint, tmp_path):
    with pytest.raises(AssertionError, match=complaint):
        check_engine(lambda: engine(tmp_path, slots=2), list(jobs(tmp_path)), expected={2: 'failed'})


def test_an_unexpected_ending_is_named(tmp_path):
    with pytest.raises(AssertionError, match='(?s)trial 2 is failed, not ok: .*told to fail'):
        check_engine(lambda: Direct(tmp_path), list(jobs(tmp_path)))
