"""Every search config of the repository, run in the same way: kill, resume, control, export, train and test.

A detector is trained and tested by MMDetection's own tools, a classifier by `nasdet train` and `nasdet test`.

A config that needs what a test does not have, such as other data than the built-in or trained weights, is run through
the file of the same name in the folder ``small`` beside it, which is based on it and does without.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load

from nasdet.config import load_config
from nasdet.datasets import classification_task, detection_task
from nasdet.datasets.tasks import task_of
from nasdet.history import EVALUATED, History

ROOT = Path(__file__).parents[2]
TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'
LEFT_BEHIND = {'config.py', 'history.sqlite', 'search.log', 'best', 'control', 'report.html'}
TINY = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=8']
TINY_SAMPLING = ['search.budget.trials=3', 'search.estimator.epochs=1']
TINY_TRAINING = ['search.trainer.epochs=2', 'search.control.estimator.epochs=1']
TINY_TRAINERS = dict(ENASTrainer=['search.trainer.controller_steps=2', 'search.trainer.candidates=2'])
TINY_DATA = {detection_task: dict(train=24, val=8, test=8),
             classification_task: dict(train_size=40, val_size=20, test_size=20)}
BUILT_IN = ('digits', 'HandwrittenDigits')
# The folders of which one config is not slow: a neck, a backbone, a classifier, two searches within one training.
FAST = ('nas_fpn', 'detnas', 'pnas', 'darts', 'enas')


def search_configs() -> list:
    """Return the runnable search configs; of some folders one, on the built-in data if possible, is not slow."""
    configs = {path: load_config(str(path)) for path in (ROOT / 'configs').rglob('*.py')
               if not {'small', '_base_'} & set(path.parts)}
    searches = {path: config.search for path, config in configs.items() if 'search' in config}
    elsewhere = {path: search.get('data', {}).get('type') not in BUILT_IN for path, search in searches.items()}
    again = {path: search.get('searcher', {}).get('type') == 'ListSearcher' for path, search in searches.items()}
    found, folders = [], {path.parent for path in searches if path.parent.name not in FAST}
    for path in sorted(searches, key=lambda path: (path.parent, elsewhere[path], again[path], path)):
        small = path.parent / 'small' / path.name
        runnable = small if elsewhere[path] or small.exists() else path
        marks = [pytest.mark.slow] if path.parent in folders else []
        folders.add(path.parent)
        found.append(pytest.param(runnable, id=str(runnable.relative_to(ROOT / 'configs')), marks=marks))
    return found


def tiny(config: Path) -> list[str]:
    """Return the options that make a search config end within a minute."""
    loaded = load_config(str(config))
    sizes = TINY_DATA[task_of(loaded)]
    how = TINY_SAMPLING
    if 'trainer' in loaded.search:
        how = TINY_TRAINING + TINY_TRAINERS.get(loaded.search.trainer.type, [])
    return [*TINY, *how, *(f'search.data.{name}={size}' for name, size in sizes.items())]


def environment(**changes) -> dict:
    return {**os.environ, 'OMP_NUM_THREADS': '1', **changes}


def call(*command, **changes) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, env=environment(**changes), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def kill_during_trials(command, work_dir: Path) -> None:
    """Start a search and kill -9 it as soon as its first trial has been told."""
    process = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        log = work_dir / 'search.log'
        if log.exists() and 'trial 0' in log.read_text():
            break
        time.sleep(0.02)
    process.kill()
    process.wait()


def rows(work_dir: Path) -> list:
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [(trial.trial, trial.key, trial.status, trial.result.reward) for trial in history.trials()]
    history.close()
    return found


def evaluated(work_dir: Path) -> list:
    """Return, for each evaluated trial, the checkpoint that it was scored with; None where there is no supernet."""
    history = History(work_dir / 'history.sqlite', read_only=True)
    numbers = [trial.trial for trial in history.trials() if trial.source == EVALUATED and trial.status == 'ok']
    history.close()
    results = [max((work_dir / 'trials' / f'{number:06d}').rglob('result.json')) for number in numbers]
    return [json.loads(path.read_text())['evaluation']['fidelity'].get('checkpoint') for path in results]


def stock_test(config: Path, checkpoint: Path, folder: Path, **changes) -> list:
    """Test with MMDetection's tool; return boxes and scores, however low, of each picture."""
    test_cfg = Config.fromfile(str(config), import_custom_modules=False).model.test_cfg
    threshold = 'model.test_cfg.rcnn.score_thr' if 'rcnn' in test_cfg else 'model.test_cfg.score_thr'
    out = folder / 'predictions.pkl'
    call(TOOLS / 'test.py', config, checkpoint, '--work-dir', folder, '--out', out, '--cfg-options', f'{threshold}=0.0',
         **changes)
    found = [picture['pred_instances'] for picture in load(out)]
    assert sum(len(boxes['scores']) for boxes in found) > 0
    return [torch.cat([boxes['bboxes'], boxes['scores'][:, None]], dim=1) for boxes in found]


@pytest.mark.parametrize('config', search_configs())
def test_config_from_search_to_stock_tools(config, tmp_path):
    work_dir = tmp_path / 'search'
    command = ['-m', 'nasdet', 'search', config, '--work-dir', work_dir, '--control', '--cfg-options', *tiny(config)]
    kill_during_trials(command, work_dir)
    before = rows(work_dir)
    call(*command)
    after = rows(work_dir)
    told = [row for row in before if row[2] != 'running']
    assert told and after[:len(told)] == told
    assert len(after) >= 3 and any(row[2] == 'ok' for row in after)
    assert {path.name for path in work_dir.iterdir()} >= LEFT_BEHIND
    if 'trainer' in load_config(str(config)).search:
        assert len(evaluated(work_dir / 'alone')) == 1 and len(evaluated(work_dir / 'control')) >= 1
    else:
        assert evaluated(work_dir / 'control') == evaluated(work_dir)      # at the same cost, with the same supernet
        assert (work_dir / 'trials').exists() and (work_dir / 'best' / 'weights.pth').exists()
    assert not (work_dir / 'control' / 'supernet').exists()
    assert {path.name for path in (work_dir / 'best').iterdir()} - {'weights.pth'} == {'genotype.json', 'config.py'}

    if task_of(load_config(str(config))) is classification_task:
        check_classifier(work_dir / 'best', tmp_path)
    else:
        check_detector(work_dir, tmp_path)


def check_classifier(best: Path, folder: Path) -> None:
    """Test the weights that the search left, where it has some, train the network anew, and test that."""
    train = folder / 'train'
    call('-m', 'nasdet', 'train', best / 'config.py', '--work-dir', train)
    checkpoints = {'inherited': best / 'weights.pth', 'anew': train / 'epoch_1.pth'}
    for name, checkpoint in checkpoints.items():
        if name == 'inherited' and not checkpoint.exists():
            continue
        said = call('-m', 'nasdet', 'test', best / 'config.py', checkpoint, '--work-dir', folder / name)
        assert 'missing keys' not in said and 'unexpected key' not in said
        figures = load(max((folder / name).glob('*/*.json')))
        assert 0 <= figures['accuracy/top1'] <= 1


def check_detector(work_dir: Path, tmp_path: Path) -> None:
    """Train and test with stock tools, and test a standalone export where nasdet cannot be imported."""
    best, train = work_dir / 'best', tmp_path / 'train'
    call(TOOLS / 'train.py', best / 'config.py', '--work-dir', train)
    stock_test(best / 'config.py', train / 'epoch_1.pth', tmp_path / 'test')

    alone = tmp_path / 'alone'
    call('-m', 'nasdet', 'export', work_dir, '--standalone', '--out', alone)
    blocker = tmp_path / 'block' / 'nasdet.py'      # first on the path: an interpreter that cannot import nasdet
    blocker.parent.mkdir()
    blocker.write_text("raise ImportError('nasdet is hidden')\n")
    hidden = dict(PYTHONPATH=os.pathsep.join([str(blocker.parent), str(alone)]))
    probe = tmp_path / 'probe.py'
    probe.write_text('try:\n    import nasdet\nexcept ImportError as error:\n    print(error)\n')
    assert 'nasdet is hidden' in call(probe, **hidden)
    inherited = stock_test(best / 'config.py', best / 'weights.pth', tmp_path / 'inherited')
    standalone = stock_test(alone / 'config.py', alone / 'weights.pth', tmp_path / 'alone_test', **hidden)
    assert all(torch.equal(a, b) for a, b in zip(inherited, standalone, strict=True))
