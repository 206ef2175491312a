"""A search within one training: its history, a kill at any moment, its control, its files; with a trainer of a toy."""

import json
from contextlib import closing

import pytest
from mmengine.config import Config

from nasdet.cli import main
from nasdet.confirm import read_rows
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.history import EVALUATED, STEP, History
from nasdet.history.record import read_record
from nasdet.protocol import Evaluation
from nasdet.registry import TRAINERS
from nasdet.report import write_report
from nasdet.search.trained import TrainedSearch
from nasdet.trainers.base import Trainer
from tests.classifiers import KERNELS, write_config

STEPS, CANDIDATES = 3, 2


class Killed(Exception):
    """Stands for the end of the process."""


@TRAINERS.register_module()
class ToyTrainer(Trainer):
    """Counts its steps in a file; ends at ``killed`` = (step, whether its checkpoint is written)."""

    requires = ('apply', 'supernet')
    metric_names = ('accuracy/top1',)
    images = 1000
    fingerprint = 'toy'

    def __init__(self, space, config, work_dir, best=0, killed=None, seed=0):
        super().__init__(space, config, work_dir)
        self.best, self.killed = best, killed
        self.checkpoint = self.work_dir / 'checkpoint.json'

    @property
    def steps(self):
        return STEPS + CANDIDATES

    def run(self, record):
        done = json.loads(self.checkpoint.read_text()) if self.checkpoint.exists() else 0
        for number in range(done, self.steps):
            genotype = Genotype('TinySpace', dict(kernels=[KERNELS[number % 3], KERNELS[0]]))
            candidate = number - STEPS
            metrics = {'accuracy/top1': 0.9 if candidate < 0 else 0.5 + 0.1 * (candidate == self.best)}
            record(number, genotype, Evaluation(metrics, fidelity=dict(skips=number)), candidate=candidate >= 0)
            self._end_at(number, False)
            self.checkpoint.write_text(json.dumps(number + 1))
            self._end_at(number, True)

    def _end_at(self, *moment):
        if self.killed == moment:
            raise Killed


def config(tmp_path, **search) -> Config:
    path = write_config(tmp_path / 'config.py', data=dict(
        type='HandwrittenDigits', size=16, train_size=480, val_size=60, test_size=60))
    cfg = Config.fromfile(str(path))
    for name in ('searcher', 'estimator', 'budget'):
        cfg.search.pop(name)
    control = dict(estimator=dict(type='TrainingEstimator', epochs=1))
    for name, value in dict(dict(trainer=dict(type='ToyTrainer'), control=control), **search).items():
        cfg.search[name] = value
    return cfg


def run(cfg, work_dir) -> Genotype:
    with closing(TrainedSearch.from_cfg(cfg, str(work_dir))) as search:
        return search.run()


def rows(work_dir) -> list:
    with closing(History(work_dir / 'history.sqlite', read_only=True)) as history:
        return [(trial.key, trial.source, trial.status, trial.result) for trial in history.trials()]


@pytest.mark.parametrize('best', [0, 1])
def test_the_best_candidate_is_the_result_whatever_its_steps_scored(tmp_path, best):
    found = run(config(tmp_path, trainer=dict(type='ToyTrainer', best=best)), tmp_path / 'search')
    assert found == Genotype('TinySpace', dict(kernels=[KERNELS[(STEPS + best) % 3], KERNELS[0]]))
    assert [source for _, source, *_ in rows(tmp_path / 'search')] == STEPS * [STEP] + CANDIDATES * [EVALUATED]
    assert {path.name for path in (tmp_path / 'search' / 'best').iterdir()} == {'genotype.json', 'config.py'}


@pytest.mark.parametrize('moment', [(0, False), (1, True), (STEPS, False), (STEPS + 1, True)])
def test_a_killed_search_equals_an_undisturbed_one(tmp_path, moment):
    cfg = config(tmp_path)
    run(cfg, tmp_path / 'undisturbed')
    killed = TrainedSearch.from_cfg(cfg, str(tmp_path / 'search'))
    killed.trainer.killed = moment
    with closing(killed), pytest.raises(Killed):
        killed.run()
    run(cfg, tmp_path / 'search')
    assert rows(tmp_path / 'search') == rows(tmp_path / 'undisturbed')


def test_an_ended_search_trains_nothing_again(tmp_path):
    cfg = config(tmp_path)
    run(cfg, tmp_path / 'search')
    (tmp_path / 'search' / 'checkpoint.json').unlink()
    with closing(TrainedSearch.from_cfg(cfg, str(tmp_path / 'search'))) as search:
        search.trainer.killed = (0, False)
        search.run()


def test_both_sides_of_the_control_are_trained_alone_at_equal_cost(tmp_path):
    work_dir = tmp_path / 'search'
    cfg = config(tmp_path)
    found = run(cfg, work_dir)
    with closing(TrainedSearch.from_cfg(cfg, str(work_dir))) as search:
        sentence = search.run_control()
    alone, control = (read_record(work_dir / name / 'history.sqlite') for name in ('alone', 'control'))
    assert [trial.proposal.genotype for trial in alone.evaluated] == [found]
    assert len(control.evaluated) == ToyTrainer.images // 480
    for record in (alone, control):
        assert str(record.ranking[0].result.reward) in sentence
    page = write_report(work_dir).read_text()
    assert 'Reward along the training' in page and 'trained alone in the same way' in page.lower()
    assert 'searched by ToyTrainer' in page


def test_the_command_searches_and_exports(tmp_path, capsys):
    path = tmp_path / 'toy.py'
    config(tmp_path).dump(str(path))
    work_dir = tmp_path / 'search'
    assert main(['search', str(path), '--work-dir', str(work_dir)]) == 0
    assert 'best genotype' in capsys.readouterr().out
    assert main(['export', str(work_dir), '--out', str(tmp_path / 'out')]) == 0
    assert (tmp_path / 'out' / 'genotype.json').read_text() == (work_dir / 'best' / 'genotype.json').read_text()
    assert main(['export', str(work_dir), '--trial', '1', '--out', str(tmp_path / 'step')]) == 0
    assert (tmp_path / 'step' / 'genotype.json').read_text() != (work_dir / 'best' / 'genotype.json').read_text()


def test_only_its_candidates_are_listed_for_a_second_look(tmp_path):
    run(config(tmp_path, trainer=dict(type='ToyTrainer', best=1)), tmp_path / 'search')
    listed = tmp_path / 'list.jsonl'
    assert main(['export', str(tmp_path / 'search'), '--top-k', '9', '--out', str(listed)]) == 0
    candidates = [Genotype('TinySpace', dict(kernels=[KERNELS[number % 3], KERNELS[0]])) for number in (4, 3)]
    assert [Genotype.from_json(line) for line in listed.read_text().splitlines()] == candidates


@pytest.mark.slow
def test_its_candidates_are_trained_again_and_confirmed(tmp_path):
    work_dir, again, listed = tmp_path / 'search', tmp_path / 'again', tmp_path / 'search' / 'export' / 'best-2.jsonl'
    cfg = config(tmp_path)
    found = run(cfg, work_dir)
    assert main(['confirm', str(work_dir), '--top-k', '1', '--seeds', '1', '--epochs', '1']) == 0
    names = [row['architecture'] for row in read_rows(work_dir / 'confirm' / 'results.csv')]
    assert names == ['classifier', f'trial-{STEPS:06d}']
    assert main(['export', str(work_dir), '--top-k', '2']) == 0
    path = write_config(tmp_path / 'again.py', data=cfg.search.data.to_dict(), budget=dict(trials=2),
                        searcher=dict(type='ListSearcher', file=str(listed)))
    assert main(['search', str(path), '--work-dir', str(again)]) == 0
    trained = [trial.proposal.genotype for trial in read_record(again / 'history.sqlite').evaluated]
    assert len(trained) == 2 and trained[0] == found


@pytest.mark.parametrize('changes, message', [
    (dict(searcher=dict(type='RandomSearcher')), "'searcher' beside a trainer"),
    (dict(budget=dict(trials=3)), "'budget' beside a trainer"),
    (dict(control=dict(epochs=3)), "search.control has the unknown entry 'epochs'"),
    (dict(control=dict(searcher=dict(type='RandomSearcher'))), 'search.control is a dict with an estimator'),
    (dict(trainer=dict(type='ToyTrainr')), "unknown trainer type 'ToyTrainr': did you mean 'ToyTrainer'?"),
    (dict(objective='accuracy/top7'), "objective 'accuracy/top7' is not measured"),
    (dict(space=dict(type='MergingCellSpace')), 'no neck that a space of necks could replace'),
    (dict(costs=[dict(type='Params', scope='model', limit=5)]), 'can have no limit'),
])
def test_what_is_wrong_is_refused_before_anything_is_trained(tmp_path, changes, message):
    with pytest.raises(SearchError, match='(?s)' + message.replace('(', r'\(').replace('?', r'\?')):
        TrainedSearch.from_cfg(config(tmp_path, **changes), str(tmp_path / 'search'))


def test_a_control_needs_to_know_how_it_is_trained(tmp_path):
    cfg = config(tmp_path)
    cfg.search.pop('control')
    run(cfg, tmp_path / 'search')
    with closing(TrainedSearch.from_cfg(cfg, str(tmp_path / 'search'))) as search:
        with pytest.raises(SearchError, match='does not say how the control is trained'):
            search.run_control()
