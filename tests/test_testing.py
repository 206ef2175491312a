"""The conformance suites accept what is right and find what is broken; searchers are in searchers/test_conformance."""

from dataclasses import replace

import numpy as np
import pytest

from nasdet.costs.base import Cost
from nasdet.engines.base import Engine, run_job
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Job, Outcome
from nasdet.spaces.base import Choice
from nasdet.testing import check_cost, check_engine, check_estimator, check_space
from tests.toys import ToyEstimator, ToySpace


class Lossy(ToySpace):
    def encode(self, genotype):
        return super().encode(self.canonical(genotype))


class Unstable(ToySpace):
    def canonical(self, genotype):
        layers = genotype.plain()['layers']
        return Genotype(self.name, dict(layers=layers[1:-1] + layers[:1] + layers[-1:]))


class SameName(ToySpace):
    def choices(self, prefix):
        choice = super().choices(prefix)
        return choice and Choice(choice.kind, choice.kind, choice.legal)


class OutOfVocabulary(ToySpace):
    vocab = dict(op=('id', 'pool', 'conv3', 'conv5'), width=(8,))


class Lenient(ToySpace):
    def decode(self, tokens):
        try:
            return super().decode(tokens)
        except ValueError:
            return self.sample(np.random.default_rng(0))


class Small(ToySpace):
    def size(self):
        return 3


class Editing(ToySpace):
    def apply(self, genotype, model):
        model['depth'] = self.num_decisions
        return dict(model)


class Applying(ToySpace):
    def apply(self, genotype, model):
        return dict(model, layers=genotype.plain()['layers'])


def test_a_right_space_passes():
    check_space(Applying(5), np.random.default_rng(0), model=dict(type='Chain'))


@pytest.mark.parametrize('space, complaint', [
    (Lossy(4), 'is not g'), (Unstable(4), 'idempotent'), (SameName(4), 'occurs twice'),
    (OutOfVocabulary(4), 'no index of its vocab'), (Lenient(4), 'decode.. accepts'), (Small(4), 'size'),
    (Editing(4), 'changes the config')])
def test_a_broken_space_is_found(space, complaint):
    with pytest.raises((AssertionError, ValueError), match=complaint):
        check_space(space, np.random.default_rng(0), model=dict(type='Chain'))


class Unseeded(ToyEstimator):
    def evaluate(self, genotype, budget, seed, folder=None):
        return super().evaluate(genotype, budget, int(np.random.default_rng().integers(2 ** 31)), folder)


class FolderReader(ToyEstimator):
    def evaluate(self, genotype, budget, seed, folder=None):
        return super().evaluate(genotype, budget, seed + (folder is None), folder)


class Counting(ToyEstimator):
    evaluations = 0

    def evaluate(self, genotype, budget, seed, folder=None):
        self.evaluations += 1
        return super().evaluate(genotype, budget, seed, folder)

    @property
    def fingerprint(self):
        return f'{super().fingerprint}-{self.evaluations}'


def test_a_right_estimator_passes():
    space = ToySpace(4)
    check_estimator(ToyEstimator(space, noise=0.1), space.sample(np.random.default_rng(0)))


@pytest.mark.parametrize('cls, behaviour, complaint', [
    (Unseeded, None, 'other metrics'), (FolderReader, None, 'without a folder'),
    (Counting, None, 'fingerprint changes'), (ToyEstimator, 'nan', 'finite')])
def test_a_broken_estimator_is_found(cls, behaviour, complaint):
    space = ToySpace(4)
    estimator = cls(space, noise=0.1, behaviours={'*': behaviour})
    with pytest.raises(AssertionError, match=complaint):
        check_estimator(estimator, space.sample(np.random.default_rng(0)))


class Width(Cost):
    unit = 'channels'

    def __call__(self, genotype):
        return sum(layer.get('width', 0) for layer in genotype.value['layers'])


class Below(Width):
    def __call__(self, genotype):
        return -1.0


class Restless(Width):
    calls = 0

    def __call__(self, genotype):
        self.calls += 1
        return self.calls


class Writing(Width):
    def __call__(self, genotype):
        self.model['seen'] = True
        return 1.0


def test_a_right_cost_passes_and_broken_ones_are_found():
    space = ToySpace(4)
    genotypes = [space.sample(np.random.default_rng(seed)) for seed in range(5)]
    check_cost(Width(space, dict(type='Chain')), genotypes)
    for cls, complaint in ((Below, 'below zero'), (Restless, 'second time'), (Writing, 'model config')):
        with pytest.raises(AssertionError, match=complaint):
            check_cost(cls(space, dict(type='Chain')), genotypes)


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
