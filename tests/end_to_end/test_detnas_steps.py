"""The four steps of DetNAS by command, with a supernet so small that they take seconds: kill, resume, and what follows.

The configs are the repository's; a test makes them smaller by ``--cfg-options`` only.
"""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.runner import Runner

from nasdet.config import load_config
from nasdet.datasets.coco import class_names, read_json
from nasdet.history import History
from nasdet.registry import SPACES, build
from nasdet.training.checkpoints import latest_checkpoint
from nasdet.training.paths import PathSamplingHook

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'detnas'
PRETRAIN = CONFIGS / 'supernet_digits_pretrain.py'
SEARCH = CONFIGS / 'retinanet_digits_evolution.py'
FEW_IMAGES = ['train_dataloader.dataset.train_size=128', 'train_dataloader.num_workers=0']
TINY_SEARCH = ['search.data.train=24', 'search.data.val=8', 'search.data.test=8', 'search.estimator.epochs=1',
               'train_cfg.max_epochs=1', 'train_dataloader.batch_size=8', 'search.searcher.population=3',
               'search.searcher.generations=2', 'search.searcher.parents=2', 'search.searcher.mutations=1',
               'search.searcher.crossovers=1', 'search.estimator.recalibration_images=8']


def command(*arguments) -> dict:
    """Return what subprocess needs to run ``nasdet`` with some arguments."""
    return dict(args=[sys.executable, '-m', 'nasdet', *map(str, arguments)], cwd=ROOT, text=True,
                env={**os.environ, 'OMP_NUM_THREADS': '1'}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def call(*arguments) -> str:
    done = subprocess.run(**command(*arguments), timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def kill_when(condition: Callable[[], bool], *arguments) -> None:
    """Start a command and kill -9 it, and all that it has started, as soon as a condition holds."""
    process = subprocess.Popen(**{**command(*arguments), 'stdout': subprocess.DEVNULL}, start_new_session=True)
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, 9)
    process.wait()


def state(path: Path) -> dict:
    return torch.load(path, map_location='cpu', weights_only=False)['state_dict']


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def weights(model) -> dict:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


@HOOKS.register_module()
class StopHook(Hook):
    """Breaks a training off as an epoch begins."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


def small_pretraining(tmp_path: Path, epochs: int) -> Config:
    """Return the config of step 1 with two iterations an epoch."""
    config = load_config(str(PRETRAIN))
    config.work_dir = str(tmp_path)
    config.experiment_name = tmp_path.name
    config.train_dataloader.update(num_workers=0)
    config.train_dataloader.dataset.update(train_size=128, size=32)
    config.train_dataloader.dataset.transforms = [dict(type='RandomCrop', size=32, padding=4)]
    config.train_cfg.max_epochs = epochs
    return config


def test_pretraining_moves_nothing_but_its_paths(tmp_path):
    """Neither momentum nor weight decay: a block is as it was until it is used, and stays as it is while it is not."""
    config = small_pretraining(tmp_path, epochs=2)
    runner = Runner.from_cfg(config)
    hook = next(hook for hook in runner.hooks if isinstance(hook, PathSamplingHook))
    paths = [hook.path(0, iteration).plain()['stages'] for iteration in range(4)]
    seen = []

    class Witness(Hook):
        def before_train(self, runner):
            seen.append(weights(runner.model))

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(weights(runner.model))

    runner.register_hook(Witness())
    runner.train()
    for path, old, new in zip(paths, seen[:-1], seen[1:], strict=True):
        for stage, blocks in enumerate(block['blocks'] for block in path):
            for place, used in enumerate(blocks):
                for kind in ('shuffle3', 'shuffle5', 'shuffle7', 'xception'):
                    inside = f'backbone.stages.{stage}.{place}.{kind}.'
                    moved = [not torch.equal(old[name], new[name]) for name in old if name.startswith(inside)]
                    assert moved and any(moved) == (kind == used), inside
    assert len({str(path) for path in paths}) == 4


def test_only_convolutions_and_linear_layers_decay(tmp_path):
    for path in (PRETRAIN, CONFIGS / 'detnas_300m_imagenet.py'):
        config = load_config(str(path))
        init_default_scope('mmdet')
        model = MODELS.build(config.model)
        runner = Runner(model, str(tmp_path), experiment_name=f'decay_{path.stem}', default_hooks=dict(logger=None))
        groups = runner.build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
        decayed = {id(tensor): group['weight_decay'] for group in groups for tensor in group['params']}
        assert {decayed[id(tensor)] for tensor in model.parameters() if tensor.ndim > 1} == {4e-5}
        assert {decayed[id(tensor)] for tensor in model.parameters() if tensor.ndim <= 1} == {0.0}


def test_pretraining_resumes_to_the_same_weights(tmp_path):
    straight, resumed = tmp_path / 'straight', tmp_path / 'resumed'
    Runner.from_cfg(small_pretraining(straight, epochs=3)).train()
    broken_off = small_pretraining(resumed, epochs=3)
    broken_off.custom_hooks.append(dict(type='StopHook', epoch=1))
    with pytest.raises(KeyboardInterrupt):
        Runner.from_cfg(broken_off).train()
    again = small_pretraining(resumed, epochs=3)
    again.update(resume=True, experiment_name='again')
    Runner.from_cfg(again).train()
    assert same(state(straight / 'epoch_3.pth'), state(resumed / 'epoch_3.pth'))


@pytest.mark.slow
def test_all_steps_survive_a_kill(tmp_path):
    pretrained, undisturbed, work_dir = tmp_path / 'pretrain', tmp_path / 'undisturbed', tmp_path / 'search'
    train = ['train', PRETRAIN, '--cfg-options', 'train_cfg.max_epochs=3', *FEW_IMAGES, '--work-dir']
    kill_when(lambda: latest_checkpoint(pretrained) is not None, *train, pretrained)
    call(*train, pretrained, '--resume')
    call(*train, undisturbed)
    supernet = pretrained / 'epoch_3.pth'
    assert same(state(supernet), state(undisturbed / 'epoch_3.pth'))

    search = ['search', SEARCH, '--cfg-options', f'search.space.backbone.init_cfg.checkpoint={supernet}', *TINY_SEARCH,
              'search.estimator.epochs=3', '--work-dir']
    kill_when(lambda: latest_checkpoint(work_dir / 'supernet') is not None, *search, work_dir)
    assert not (work_dir / 'supernet' / 'weights.pth').exists() and told(work_dir) == 0, 'it was to die in step 2'
    kill_when(lambda: told(work_dir) >= 2, *search, work_dir)
    call(*search, work_dir)
    call(*search, tmp_path / 'search_undisturbed')
    assert rows(work_dir) == rows(tmp_path / 'search_undisturbed')
    assert len([row for row in rows(work_dir) if row[1] == 'ok']) == 6
    assert same(state(work_dir / 'best' / 'weights.pth'), state(tmp_path / 'search_undisturbed/best/weights.pth'))

    final = ['train', work_dir / 'best' / 'config.py', '--cfg-options', 'train_cfg.max_epochs=2', '--work-dir']
    kill_when(lambda: latest_checkpoint(tmp_path / 'final') is not None, *final, tmp_path / 'final')
    call(*final, tmp_path / 'final', '--resume')
    tested = call('test', work_dir / 'best' / 'config.py', tmp_path / 'final' / 'epoch_2.pth', '--work-dir',
                  tmp_path / 'tested')
    assert 'Epoch(test) [1/1]' in tested


@pytest.mark.slow
def test_a_search_takes_a_supernet_that_was_trained_by_itself(tmp_path):
    """Step 2 as the README has it for several GPUs: refuse and set apart, train on that, search."""
    work_dir, checkpoint = tmp_path / 'search', tmp_path / 'supernet' / 'epoch_1.pth'
    search = ['search', SEARCH, '--work-dir', work_dir, '--cfg-options', 'search.space.backbone.init_cfg=None',
              f'search.estimator.checkpoint={checkpoint}', *TINY_SEARCH]
    refused = subprocess.run(**command(*search), timeout=600)
    assert refused.returncode == 1 and f'there is no supernet checkpoint {checkpoint}' in refused.stdout
    config = load_config(str(SEARCH))
    config.search.space.backbone.init_cfg = None
    supernet = copy.deepcopy(config)
    supernet.model = build(SPACES, config.search.space).supernet(config.model)
    supernet.custom_imports.imports.append('nasdet.training')
    supernet.custom_hooks = [dict(type='PathSamplingHook', space=config.search.space)]
    supernet.train_dataloader.update(batch_size=8)
    supernet.train_dataloader.dataset.update(
        ann_file=str(work_dir / 'data' / 'train.json'),
        data_prefix=dict(img=str(next((work_dir / 'data').rglob('images')))),
        metainfo=dict(classes=class_names(read_json(work_dir / 'data' / 'train.json'))))
    supernet.train_cfg.max_epochs = 1
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        supernet[name] = None
    supernet.dump(tmp_path / 'supernet.py')
    call('train', tmp_path / 'supernet.py', '--work-dir', checkpoint.parent)
    call(*search)
    assert len([row for row in rows(work_dir) if row[1] == 'ok']) == 6 and not (work_dir / 'supernet').exists()


def told(work_dir: Path) -> int:
    return len([row for row in rows(work_dir) if row[1] != 'running'])


def rows(work_dir: Path) -> list:
    """Return key, status and reward of each trial."""
    if not (work_dir / 'search.log').exists() or 'trial 0' not in (work_dir / 'search.log').read_text():
        return []
    history = History(work_dir / 'history.sqlite', read_only=True)
    found = [(trial.key, trial.status, trial.result and trial.result.reward) for trial in history.trials()]
    history.close()
    return found
