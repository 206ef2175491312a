"""Every search config of the repository, run in the same way: kill, resume, control, export, stock train and test.

A config that does not name the built-in data is run through the file of the same name in the folder ``small`` beside
it, which is based on it and names the built-in data and few iterations.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import mmdet
import pytest

from nasdet.config import load_config
from nasdet.history import History

ROOT = Path(__file__).parents[2]
TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'
LEFT_BEHIND = {'config.py', 'history.sqlite', 'search.log', 'trials', 'best', 'control', 'report.html'}
TINY = ['search.data.train=24', 'search.data.val=8', 'search.data.test=8', 'search.budget.trials=3',
        'search.estimator.epochs=1', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=8']


def search_configs() -> list:
    """Return the runnable search configs; the first of each folder is not slow."""
    found, folders = [], set()
    for path in sorted((ROOT / 'configs').rglob('*.py')):
        if 'small' in path.parts or '_base_' in path.parts or 'search' not in load_config(str(path)):
            continue
        runnable = path
        if load_config(str(path)).search.get('data', {}).get('type') != 'digits':
            runnable = path.parent / 'small' / path.name
        marks = [pytest.mark.slow] if path.parent in folders else []
        folders.add(path.parent)
        found.append(pytest.param(runnable, id=str(runnable.relative_to(ROOT / 'configs')), marks=marks))
    return found


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


def stock_test(config: Path, checkpoint: Path, folder: Path, **changes) -> dict:
    """Test with MMDetection's tool; a detector without any detection has no metrics there."""
    call(TOOLS / 'test.py', config, checkpoint, '--work-dir', folder, **changes)
    metrics = json.loads(max(folder.glob('*/*.json')).read_text())
    return {name: value for name, value in metrics.items() if name.startswith('coco/')}


@pytest.mark.parametrize('config', search_configs())
def test_config_from_search_to_stock_tools(config, tmp_path):
    work_dir = tmp_path / 'search'
    command = ['-m', 'nasdet', 'search', config, '--work-dir', work_dir, '--control', '--cfg-options', *TINY]
    kill_during_trials(command, work_dir)
    before = rows(work_dir)
    call(*command)
    after = rows(work_dir)
    told = [row for row in before if row[2] != 'running']
    assert told and after[:len(told)] == told
    assert len(after) >= 3 and any(row[2] == 'ok' for row in after)
    assert {path.name for path in work_dir.iterdir()} >= LEFT_BEHIND
    assert len(rows(work_dir / 'control')) >= 1
    assert {path.name for path in (work_dir / 'best').iterdir()} == {'genotype.json', 'config.py', 'weights.pth'}

    best = work_dir / 'best'
    train = tmp_path / 'train'
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
    assert stock_test(alone / 'config.py', alone / 'weights.pth', tmp_path / 'alone_test', **hidden) == inherited
