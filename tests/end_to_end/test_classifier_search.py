"""A search for a classifier, command by command: killed, resumed, with its control, exported, tested, confirmed."""

import itertools
import json
import multiprocessing
import re
import time
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nasdet.cli import main
from nasdet.confirm import read_rows, run_config
from nasdet.confirm.finalists import published
from nasdet.confirm.run import train_and_test
from nasdet.convert import backbone_to_detector
from nasdet.genotype import Genotype
from nasdet.history import History
from nasdet.history.existing import ExistingSearch
from tests.classifiers import TinySpace, drive, write_config

DEADLINE = 240      # seconds; reached only where something hangs
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['tests.classifiers'])
names = itertools.count()


def run(*command) -> None:
    """Run a command in this process, a training or a test under a name of its own: mmengine keeps loggers by name."""
    options = ['--cfg-options', f'experiment_name=classifier_{next(names)}'] if command[0] in ('train', 'test') else []
    assert main([*map(str, command), *options]) == 0


def metrics_in(work_dir: Path) -> dict:
    """Return the metrics that the last test wrote."""
    return json.loads(max(work_dir.glob('*/*.json')).read_text())


def trials(work_dir: Path) -> list:
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [(trial.key, trial.status, trial.result.reward) for trial in history.trials()]
    history.close()
    return found


def kill_after_first_trial(config: Path, work_dir: Path) -> None:
    errors = work_dir.with_suffix('.txt')
    process = CONTEXT.Process(target=drive, args=(str(config), str(work_dir), str(errors)))
    process.start()
    log, end = work_dir / 'search.log', time.monotonic() + DEADLINE
    while process.is_alive() and not (log.exists() and 'trial 0' in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.join(DEADLINE)
    assert log.exists(), errors.read_text()[-4000:]


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    """The folder of a search that was killed once and went on, with its control beside it."""
    folder = tmp_path_factory.mktemp('classifier')
    config, work_dir = write_config(folder / 'tiny.py', budget=dict(trials=5)), folder / 'search'
    kill_after_first_trial(config, work_dir)
    told = [trial for trial in trials(work_dir) if trial[1] != 'running']
    run('search', config, '--work-dir', work_dir, '--control')
    assert told and trials(work_dir)[:len(told)] == told
    return work_dir


def test_a_killed_search_equals_an_undisturbed_one(searched, tmp_path):
    run('search', searched.parent / 'tiny.py', '--work-dir', tmp_path / 'again')
    assert trials(tmp_path / 'again') == trials(searched) and len(trials(searched)) >= 5
    assert len(trials(searched / 'control')) >= 5
    page = (searched / 'report.html').read_text()
    assert 'TinySpace on ImageClassifier' in page and 'accuracy/top1 (0 to 1) on search-val' in page


def test_the_best_is_trained_and_tested_by_its_plain_config(searched, tmp_path):
    best = searched / 'best'
    assert {path.name for path in best.iterdir()} == {'genotype.json', 'config.py', 'weights.pth'}
    assert 'search' not in Config.fromfile(str(best / 'config.py'))
    reward = max(reward for _, status, reward in trials(searched) if status == 'ok')
    config = tmp_path / 'val.py'
    config.write_text(f'_base_ = {str(best / "config.py")!r}\ntest_dataloader = dict(dataset=dict(split="val"))\n')
    run('test', config, best / 'weights.pth', '--work-dir', tmp_path / 'val')
    assert metrics_in(tmp_path / 'val')['accuracy/top1'] == reward      # search-val: what the search was told
    run('train', best / 'config.py', '--work-dir', tmp_path / 'train')
    run('test', best / 'config.py', tmp_path / 'train' / 'epoch_1.pth', '--work-dir', tmp_path / 'test')
    assert 0 <= metrics_in(tmp_path / 'test')['accuracy/top1'] <= 1


def test_the_best_backbone_goes_into_a_detector(searched, repo_root):
    classifier = Config.fromfile(str(searched / 'best' / 'config.py')).model
    detector = Config.fromfile(str(repo_root / 'configs' / '_base_' / 'models' / 'retinanet_r18_small.py')).model
    detector.neck.update(add_extra_convs='on_input', in_channels=[8, 8])
    detector.backbone = dict(type='TinyBackbone', genotype=dict(kernels=[1, 1]), out_indices=(0, 1))
    model = backbone_to_detector(classifier, searched / 'best' / 'weights.pth', detector)
    init_default_scope('mmdet')
    built = MODELS.build(model)
    built.init_weights()
    trained = torch.load(searched / 'best' / 'weights.pth', weights_only=True)['state_dict']
    own = built.backbone.state_dict()
    assert own and all(torch.equal(tensor, trained[f'backbone.{name}']) for name, tensor in own.items())


def test_what_a_classifier_cannot_have_is_refused(searched, capfd, tmp_path):
    best = searched / 'best'
    for command, words in (
            (['export', searched, '--standalone', '--out', tmp_path / 'alone'], 'as every classifier does'),
            (['test', best / 'config.py', best / 'weights.pth', '--tta'], '--tta is for detectors'),
            (['test', best / 'config.py', best / 'weights.pth', '--show-dir', 'x'], '--show-dir is for detectors')):
        assert main([*map(str, command)]) == 1
        assert words in capfd.readouterr().err
    assert not (tmp_path / 'alone').exists()


def test_a_wrong_objective_is_refused_before_any_work(tmp_path, capfd):
    config = write_config(tmp_path / 'tiny.py', objective='accuracy/top2')
    assert main(['search', str(config), '--work-dir', str(tmp_path / 'work')]) == 1
    assert re.search(r"'accuracy/top2' is not measured: did you mean 'accuracy/top[15]'", capfd.readouterr().err)
    assert not (tmp_path / 'work' / 'trials').exists()


def test_a_run_of_a_confirmation_never_trains_on_test(searched, tmp_path):
    search = ExistingSearch(searched)
    run_of = run_config(search.config, search.space.apply(TinySpace().decode((1, 2)), search.config.model))
    assert run_of.train_dataloader.dataset.split == 'trainval' and run_of.test_dataloader.dataset.split == 'test'
    assert run_of.val_dataloader is None
    (tmp_path / 'config.py').write_text(run_of.pretty_text)
    metrics = train_and_test(tmp_path, epochs=1, seed=0)
    assert 0 <= metrics['accuracy/top1'] <= 1 and (tmp_path / 'weights.pth').exists()


def test_a_published_backbone_takes_the_place_of_a_member(searched):
    search, member = ExistingSearch(searched), Genotype('TinySpace', dict(kernels=[1, 1]))
    model = published(search.space, Genotype('TinySpace', dict(kernels=[5, 5, 5])), member, search.config.model)
    assert model.backbone.genotype == dict(kernels=[5, 5, 5]) and model.in_channels == 8


@pytest.mark.slow
def test_a_confirmation_compares_with_the_classifier_as_it_was(searched, capsys):
    run('confirm', searched, '--top-k', '1', '--seeds', '1', '--epochs', '1')
    rows = read_rows(searched / 'confirm' / 'results.csv')
    assert rows[0]['architecture'] == 'classifier' and rows[0]['metric'] == 'accuracy/top1' and len(rows) == 2
    assert 'Difference: to classifier, the classifier as it was before the search' in capsys.readouterr().out


@pytest.mark.slow
def test_a_supernet_search_goes_on_after_a_kill(tmp_path):
    config = write_config(tmp_path / 'tiny.py', 'SupernetEstimator', engine=dict(type='LocalEngine', slots=1))
    work_dir = tmp_path / 'search'
    kill_after_first_trial(config, work_dir)
    run('search', config, '--work-dir', work_dir, '--control')
    reward = max(reward for _, status, reward in trials(work_dir) if status == 'ok')
    plain = tmp_path / 'val.py'
    plain.write_text(f'_base_ = {str(work_dir / "best" / "config.py")!r}\n'
                     'test_dataloader = dict(dataset=dict(split="val"))\n')
    run('test', plain, work_dir / 'best' / 'weights.pth', '--work-dir', tmp_path / 'val')
    assert metrics_in(tmp_path / 'val')['accuracy/top1'] == reward
    assert not (work_dir / 'control' / 'supernet').exists()
