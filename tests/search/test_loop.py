"""The loop against a scripted engine: order, reuse, refusals, failures, retries."""

import json
import math
import random

import numpy as np
import pytest

from nasdet.costs.base import Cost
from nasdet.engines.base import Engine, run_job
from nasdet.errors import SearchError
from nasdet.history import EVALUATED, History
from nasdet.history.workdir import WorkDir
from nasdet.objective import Objective
from nasdet.protocol import Evaluation, Job, Outcome
from nasdet.search.dispatch import Dispatcher
from nasdet.search.loop import Loop, Rules
from nasdet.searchers import EvolutionSearcher, RandomSearcher
from tests.toys import ToyEstimator, ToySpace


class ScriptedEngine(Engine):
    """Evaluates in this process, answers in a shuffled order, and loses jobs, or finds them late, as it is told."""

    def __init__(self, estimator, work_dir, slots=1, chance=None, lose=(), late=()):
        super().__init__(work_dir, slots)
        self.estimator, self.chance, self.lose = estimator, chance or random.Random(0), set(lose)
        self.late = set(late)
        self.jobs: list[Job] = []
        self.submitted: list[tuple[int, int]] = []

    def submit(self, job):
        assert len(self.jobs) < self.slots
        self.submitted.append((job.trial, job.attempt))
        self.jobs.append(job)

    def poll(self, timeout=None):
        job = self.jobs.pop(self.chance.randrange(len(self.jobs)))
        if (job.trial, job.attempt) in self.lose:
            return [Outcome(job.trial, 'lost', error='SIGKILL')]
        if (job.trial, job.attempt) in self.late:
            return [Outcome(job.trial, 'timeout', error='it took longer than 6 s')]
        return [run_job(self.estimator, job)]

    def cancel(self, trial):
        self.jobs = [job for job in self.jobs if job.trial != trial]


class Constant(ToyEstimator):
    """Finds every network equally good."""

    def evaluate(self, genotype, budget, seed, folder=None):
        return Evaluation(metrics=dict(score=0.5))


class Layers(Cost):
    """Counts the layers that are not ``id``."""

    def __call__(self, genotype):
        return float(sum(layer['op'] != 'id' for layer in genotype.value['layers']))


class Bench:
    """One search over the toy space in a folder, which can be built again on the same history."""

    def __init__(self, path, slots=1, searcher=EvolutionSearcher, chance=None, lose=(), late=(), behaviours=None,
                 costs=None, estimator=None, **rules):
        self.space = ToySpace(5)
        self.estimator = estimator or ToyEstimator(self.space, noise=0.05, behaviours=behaviours)
        self.work_dir = WorkDir(path)
        self.history = History(self.work_dir.history)
        self.engine = ScriptedEngine(self.estimator, path, slots, chance, lose, late)
        arguments = dict(population=6, sample=3) if searcher is EvolutionSearcher else {}
        rules = {**dict(seed=1, trials=30, window=slots), **rules}
        self.loop = Loop(self.space, searcher(self.space, **arguments), costs or [], Objective('score'),
                         Dispatcher(self.engine, self.history, self.work_dir), self.history, Rules(**rules))

    def run(self):
        self.loop.restore()
        return self.loop.run()

    def rows(self):
        return [(trial.key, trial.source, trial.status, trial.result.reward) for trial in self.history.trials()]

    def events(self):
        return [(kind, trial.trial) for _, kind, trial in self.history.events()]


def test_history_is_the_same_for_any_timing(tmp_path):
    benches = [Bench(tmp_path / str(seed), slots=3, chance=random.Random(seed)) for seed in range(4)]
    for bench in benches:
        bench.run()
    assert all(bench.rows() == benches[0].rows() for bench in benches)
    assert all(bench.events() == benches[0].events() for bench in benches)


def test_order_arrival_tells_what_comes_first(tmp_path):
    bench = Bench(tmp_path, slots=3, chance=random.Random(5), order='arrival')
    bench.run()
    told = [trial for kind, trial in bench.events() if kind == 'told']
    assert sorted(told) == list(range(len(told))) and told != sorted(told)


@pytest.mark.parametrize('searcher', [RandomSearcher, EvolutionSearcher])
def test_interrupted_anywhere_it_goes_on_as_if_nothing_had_been(tmp_path, searcher):
    whole = Bench(tmp_path / 'whole', slots=2, searcher=searcher)
    whole.run()
    chance = random.Random(0)
    interruptions = 0
    while True:
        bench = Bench(tmp_path / 'parts', slots=2, searcher=searcher)
        told = bench.history.told_trials()
        bench.loop.restore()
        steps = iter([True] * chance.randrange(1, 9))
        bench.loop.on_told = lambda *told: next(steps)      # noqa: B023 - raises StopIteration: the interruption
        try:
            bench.loop.run()
        except StopIteration:
            interruptions += 1
            continue
        finally:
            assert not told & {trial for trial, _ in bench.engine.submitted}, 'a finished trial was evaluated again'
        break
    assert bench.rows() == whole.rows() and bench.events() == whole.events()
    assert interruptions >= 3


def test_reuse_tells_the_earlier_result(tmp_path):
    bench = Bench(tmp_path / 'reuse', trials=100)
    bench.space.num_decisions = 2
    bench.run()
    trials = {trial.trial: trial for trial in bench.history.trials()}
    reused = [trial for trial in trials.values() if trial.reused_from is not None]
    evaluated = [trial.key for trial in trials.values() if trial.source == EVALUATED]
    assert reused and len(evaluated) == len(set(evaluated))
    for trial in reused:
        assert trial.result.reward == trials[trial.reused_from].result.reward
        assert trial.key == trials[trial.reused_from].key
    again = Bench(tmp_path / 'again', trials=40, reuse=False)
    again.space.num_decisions = 2
    again.run()
    assert {trial.source for trial in again.history.trials()} == {EVALUATED}


def test_a_small_space_ends_the_search_in_words(tmp_path):
    bench = Bench(tmp_path, searcher=RandomSearcher, trials=200)
    bench.space.num_decisions = 1
    assert 'no new architecture' in bench.run()
    assert bench.loop.evaluations == 3


def test_costs_refuse_before_evaluation(tmp_path):
    space = ToySpace(5)
    bench = Bench(tmp_path, searcher=RandomSearcher, costs=[Layers(space, limit=3, scope='chain')])
    bench.run()
    trials = list(bench.history.trials())
    refused = [trial for trial in trials if trial.status == 'refused']
    assert refused and all(trial.result.costs['Layers(chain)'] > 3 for trial in refused)
    assert all('over its limit 3' in trial.result.error for trial in refused)
    assert all(trial.result.costs['Layers(chain)'] <= 3 for trial in trials if trial.status == 'ok')
    assert not {trial.trial for trial in refused} & {number for number, _ in bench.engine.submitted}


def test_lost_processes_are_tried_three_times(tmp_path):
    bench = Bench(tmp_path, searcher=RandomSearcher, trials=4, lose=[(1, 1), (2, 1), (2, 2), (2, 3)])
    bench.run()
    trials = list(bench.history.trials())
    assert [trial.status for trial in trials] == ['ok', 'ok', 'failed', 'ok']
    assert 'lost 3 times' in trials[2].result.error and 'SIGKILL' in trials[2].result.error
    assert bench.history.attempts(1) == [(1, 'lost'), (2, 'ok')]
    assert (bench.work_dir.trial(1, 2) / 'result.json').exists()


@pytest.mark.parametrize('ends', [dict(late=[(1, 1)]), dict(lose=[(1, 1), (1, 2), (1, 3)]), dict(lose=[(1, 1)])])
def test_how_an_attempt_ended_is_known_after_a_kill(tmp_path, monkeypatch, ends):
    whole = Bench(tmp_path / 'whole', searcher=RandomSearcher, trials=3, **ends)
    whole.run()
    killed = Bench(tmp_path / 'killed', searcher=RandomSearcher, trials=3, **ends)
    end_attempt, (last,) = killed.history.end_attempt, list(ends.values())[0][-1:]

    def end_and_die(trial, attempt, *how):
        end_attempt(trial, attempt, *how)
        if (trial, attempt) == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(killed.history, 'end_attempt', end_and_die)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    killed.history.close()
    resumed = Bench(tmp_path / 'killed', searcher=RandomSearcher, trials=3)     # which would find trial 1 well
    resumed.run()
    assert resumed.rows() == whole.rows()
    assert resumed.history.attempts(1) == whole.history.attempts(1)
    assert resumed.history.trial(1).result.error == whole.history.trial(1).result.error


def test_failures_go_on_and_five_in_a_row_stop(tmp_path):
    bench = Bench(tmp_path / 'some', searcher=RandomSearcher, behaviours=dict(pool='fail', id='nan'))
    bench.run()
    failed = [trial for trial in bench.history.trials() if trial.status == 'failed']
    assert any('was told to fail' in trial.result.error for trial in failed)
    assert any('metric score is nan' in trial.result.error for trial in failed)
    assert bench.loop.best.result.status == 'ok'
    bench = Bench(tmp_path / 'all', searcher=RandomSearcher, behaviours={'*': 'fail'})
    with pytest.raises(SearchError, match='5 trials failed in a row'):
        bench.run()


class Alternating(RandomSearcher):
    """Proposes the first network of the space again after every random one."""

    def ask(self, trial, rng):
        return super().ask(trial, np.random.default_rng(0) if trial % 2 == 0 else rng)


def test_reused_results_do_not_interrupt_a_row_of_failures(tmp_path):
    good = Bench(tmp_path / 'good', searcher=Alternating, trials=1)
    good.run()
    behaviours = {'*': 'fail', good.history.trial(0).key: 'work'}
    bench = Bench(tmp_path / 'bench', searcher=Alternating, behaviours=behaviours)
    with pytest.raises(SearchError, match='5 trials failed in a row'):
        bench.run()
    assert [row[2] for row in bench.rows()].count('ok') > 1


@pytest.mark.parametrize('seed', range(3))
def test_of_equal_rewards_the_earlier_trial_is_best_in_any_order(tmp_path, seed):
    space = ToySpace(5)
    bench = Bench(tmp_path, slots=3, searcher=RandomSearcher, chance=random.Random(seed), order='arrival',
                  estimator=Constant(space), trials=9)
    kept = set()

    def note(trial, result, replaced):
        kept.add(trial.trial)
        kept.discard(replaced)

    bench.loop.on_told = note
    bench.run()
    assert bench.loop.best.trial == 0 and kept == {0}
    again = Bench(tmp_path, slots=3, searcher=RandomSearcher, order='arrival', estimator=Constant(space), trials=9)
    again.loop.restore()
    assert again.loop.best.trial == 0


FORGED = [('ok', dict(metrics=None)), ('ok', dict(metrics=dict(score=math.nan))), ('ok', dict(metrics={})),
          ('ok', dict(metrics=dict(score='high'))), ('ok', None), ('banana', None), ('lost', None)]


@pytest.mark.parametrize('text', [
    '{"trial": 1, "key"', '{"trial": 7, "key": "x", "status": "ok"}', '[]', 'null',
    *(json.dumps(dict(trial=0, key='KEY', error='', seconds=1, status=status, evaluation=evaluation))
      for status, evaluation in FORGED)])
def test_a_torn_or_forged_result_is_ignored_with_a_warning(tmp_path, text):
    bench = Bench(tmp_path, searcher=RandomSearcher, trials=3)
    trial = bench.loop._decide(0, bench.loop.searcher.ask(0, np.random.default_rng((1, 0))))
    bench.history.asked(trial)
    bench.history.begin_attempt(0, 1)
    bench.history.close()
    bench.work_dir.trial(0).mkdir(parents=True)
    (bench.work_dir.trial(0) / 'result.json').write_text(text.replace('KEY', trial.key))
    again = Bench(tmp_path, searcher=RandomSearcher, trials=3)
    with pytest.warns(UserWarning, match='is ignored'):
        again.run()
    assert [row[2] for row in again.rows()] == ['ok', 'ok', 'ok']
    assert again.history.attempts(0) == [(1, 'running'), (2, 'ok')]


def test_snapshots_change_no_bit(tmp_path, monkeypatch):
    monkeypatch.setattr('nasdet.search.loop.SNAPSHOT_EVERY', 7)
    bench = Bench(tmp_path, trials=30)
    bench.run()
    assert bench.history.last_snapshot()[1] is not None
    with_snapshot = Bench(tmp_path, trials=60)
    with_snapshot.loop.restore()
    state = with_snapshot.loop.searcher.state_dict()
    with_snapshot.history._db.execute('DELETE FROM snapshots')
    without = Bench(tmp_path, trials=60)
    without.loop.restore()
    assert without.loop.searcher.state_dict() == state


def test_unknown_objective_is_an_error_of_the_config(tmp_path):
    bench = Bench(tmp_path)
    bench.loop.objective = Objective('coco/bbox_mAP')
    with pytest.raises(SearchError, match="objective 'coco/bbox_mAP' is not among"):
        bench.run()
