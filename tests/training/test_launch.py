"""``nasdet train`` and ``nasdet test``: what they write and refuse, and that they equal MMDetection's."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import mmdet
import mmengine
import numpy as np
import pytest
import torch
from mmengine import fileio
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image

from nasdet import cli, stack
from nasdet.cli import build_parser
from nasdet.errors import SearchError
from nasdet.training import launch
from tests.training.toys import ToySupernet, same, toy_config

numbers = itertools.count()


@MODELS.register_module()
class ToyAutocastProbe(ToySupernet):
    """Notes whether its forward pass runs under the CPU's autocast."""

    seen = []

    def forward(self, inputs, targets, mode='tensor'):
        self.seen.append(torch.is_autocast_enabled('cpu'))
        return super().forward(inputs, targets, mode)


@MODELS.register_module()
class ToyPretrained(ToySupernet):
    """A supernet that may start from weights."""

    def __init__(self, init_cfg=None):
        super().__init__()
        self.init_cfg = init_cfg

    def set_path(self, value):
        self.searched.set_path(value)


@pytest.fixture
def config_file(tmp_path) -> Path:
    config = toy_config()
    for name in ('val_dataloader', 'val_evaluator'):
        config.pop(name, None)
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.test_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(type='ToyData'),
                                  collate_fn=dict(type='default_collate'),
                                  sampler=dict(type='DefaultSampler', shuffle=False))
    config.test_evaluator = dict(type='DumpResults', out_file_path=str(tmp_path / 'predictions.pkl'))
    config.train_cfg.by_epoch = True
    config.test_cfg = dict()
    config.randomness = dict(seed=0)
    config.auto_scale_lr = dict(enable=False, base_batch_size=8)
    path = tmp_path / 'toy.py'
    path.write_text(config.pretty_text)
    return path


def run(command: str, config_file: Path, *arguments: str) -> int:
    """Run a command in this process, under a name of its own: mmengine keeps a logger by name for a process's life."""
    name = f'experiment_name=launch_{next(numbers)}'
    args = build_parser().parse_args([command, str(config_file), *arguments, '--cfg-options', name])
    return getattr(launch, command)(args)


def checkpoint(folder: Path, epoch: int) -> dict:
    return torch.load(folder / f'epoch_{epoch}.pth', weights_only=False)


def test_training_resumes_where_it_ended(config_file, tmp_path):
    work_dir = tmp_path / 'work'
    options = ['--work-dir', str(work_dir), '--cfg-options']
    assert run('train', config_file, *options, 'train_cfg.max_epochs=2') == 0
    first = checkpoint(work_dir, 2)
    assert run('train', config_file, '--resume', *options, 'train_cfg.max_epochs=3') == 0
    resumed = checkpoint(work_dir, 3)
    assert (first['meta']['epoch'], resumed['meta']['epoch']) == (2, 3)
    assert resumed['meta']['iter'] == 12                   # 3 epochs of 4 iterations, none of them twice
    logged = [json.loads(line) for path in work_dir.glob('*/vis_data/scalars.json') for line in path.open()]
    assert {entry['epoch'] for entry in logged if 'epoch' in entry} <= {1, 2, 3}


@pytest.mark.parametrize('left_out, code', [((), 0), (('head.bias',), 1)])
def test_a_training_starts_from_all_weights_or_not_at_all(config_file, tmp_path, left_out, code):
    weights = ToyPretrained().state_dict()
    torch.save({name: tensor for name, tensor in weights.items() if name not in left_out}, tmp_path / 'weights.pth')
    arguments = ['--work-dir', str(tmp_path / 'work'), '--cfg-options', 'train_cfg.max_epochs=1',
                 'model.type=ToyPretrained', 'model.init_cfg.type=Pretrained',
                 f'model.init_cfg.checkpoint={tmp_path / "weights.pth"}']
    if code == 0:
        assert run('train', config_file, *arguments) == 0
        return
    with pytest.raises(SearchError, match=r'weights.pth is of another network than the model \(ToyPretrained\): 1 of'):
        run('train', config_file, *arguments)
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_a_genotype_that_is_not_there_is_named(config_file, tmp_path):
    missing = tmp_path / 'best' / 'genotype.json'
    with pytest.raises(SearchError, match=f'there is no genotype {missing}'):
        run('train', config_file, '--work-dir', str(tmp_path / 'work'), '--cfg-options',
            'model.backbone.type=CellNetwork', f'model.backbone.genotype={missing}')


def test_resuming_from_a_named_checkpoint(config_file, tmp_path):
    work_dir, other = tmp_path / 'work', tmp_path / 'other'
    run('train', config_file, '--work-dir', str(work_dir), '--cfg-options', 'train_cfg.max_epochs=2')
    run('train', config_file, '--work-dir', str(other), '--resume', str(work_dir / 'epoch_1.pth'),
        '--cfg-options', 'train_cfg.max_epochs=2')
    assert [path.name for path in sorted(other.glob('*.pth'))] == ['epoch_2.pth']


def test_the_learning_rate_scales_with_the_batch(config_file, tmp_path):
    """Batch 4 where the config was written for 8: half the rate (0.05)."""
    run('train', config_file, '--work-dir', str(tmp_path / 'work'), '--auto-scale-lr',
        '--cfg-options', 'train_cfg.max_epochs=1', 'param_scheduler=None')
    groups = checkpoint(tmp_path / 'work', 1)['optimizer']['param_groups']
    assert groups[0]['lr'] == pytest.approx(0.025)


def test_scaling_without_a_base_is_refused(config_file):
    text = config_file.read_text()
    config_file.write_text(text.replace('base_batch_size=8, ', ''))
    with pytest.raises(SearchError, match='auto_scale_lr.base_batch_size'):
        run('train', config_file, '--auto-scale-lr')


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason='checks the CPU')
def test_mixed_precision_on_a_cpu(config_file, tmp_path):
    ToyAutocastProbe.seen.clear()
    run('train', config_file, '--amp', '--work-dir', str(tmp_path / 'work'), '--cfg-options',
        'model.type=ToyAutocastProbe', 'train_cfg.max_epochs=1')
    assert ToyAutocastProbe.seen == [True] * 4
    weights = checkpoint(tmp_path / 'work', 1)['state_dict']
    assert all(tensor.dtype == torch.float32 for tensor in weights.values() if tensor.is_floating_point())


@pytest.mark.parametrize('option, options', [('compile=True', {}), ('compile.dynamic=False', dict(dynamic=False))])
def test_a_training_is_compiled_where_the_config_says_so(config_file, tmp_path, monkeypatch, option, options):
    """Here nothing is: that takes minutes."""
    compiled = []
    monkeypatch.setattr(torch, 'compile', lambda step, **given: compiled.append((step, given)) or step)
    run('train', config_file, '--work-dir', str(tmp_path / 'work'), '--cfg-options', 'train_cfg.max_epochs=1', option)
    (step, given), = compiled
    assert step.__name__ == 'train_step' and isinstance(step.__self__, ToySupernet) and given == options


def test_testing_a_checkpoint(config_file, tmp_path):
    """What is tested is the checkpoint's network: its predictions equal the network's own."""
    run('train', config_file, '--work-dir', str(tmp_path / 'work'), '--cfg-options', 'train_cfg.max_epochs=1')
    assert run('test', config_file, str(tmp_path / 'work' / 'epoch_1.pth'), '--work-dir', str(tmp_path / 'test')) == 0
    predictions = torch.stack(fileio.load(tmp_path / 'predictions.pkl'))
    network = ToySupernet().eval()
    network.load_state_dict(checkpoint(tmp_path / 'work', 1)['state_dict'])
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32))
    assert predictions.shape == (16,)
    assert (predictions - network(inputs, None)).abs().max() < 1          # the data set's noise is at most 0.1
    assert predictions.std() > 0


@pytest.mark.parametrize('content, what', [(None, 'gone.pth'), (b'not a checkpoint', 'not a checkpoint')])
def test_a_bad_checkpoint_is_named(config_file, tmp_path, content, what):
    path = tmp_path / 'gone.pth'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SearchError, match=what):
        run('test', config_file, str(path), '--work-dir', str(tmp_path / 'test'))


def test_predictions_go_to_a_pickle_only(config_file):
    with pytest.raises(SearchError, match='.pkl'):
        run('test', config_file, 'x.pth', '--out', 'predictions.json')


def test_drawing_needs_its_hook(config_file):
    with pytest.raises(SearchError, match='default_hooks.visualization'):
        run('test', config_file, 'x.pth', '--show-dir', 'pictures')


def test_augmentation_replaces_the_last_step_inside_the_wrappers():
    inner = dict(type='CocoDataset', pipeline=[dict(type='LoadImageFromFile'), dict(type='PackDetInputs')])
    config = Config(dict(model=dict(type='RetinaNet'),
                         test_dataloader=dict(dataset=dict(type='RepeatDataset', times=1, dataset=inner))))
    launch._augment_tests(config)
    steps = [step.type for step in config.test_dataloader.dataset.dataset.pipeline]
    assert steps == ['LoadImageFromFile', 'TestTimeAug']
    assert config.model.module.type == 'RetinaNet'


@pytest.mark.parametrize('mmengine_version, torch_version, trusted, problem', [
    ('0.10.7', '2.6.0', '', True), ('0.10.7', '2.10.0+cu128', '0', True), ('0.10.7', '2.10.0', '1', False),
    ('0.10.7', '2.5.1', '', False), ('0.10.12', '2.10.0', '', False),
])
def test_which_stack_cannot_resume(monkeypatch, config_file, mmengine_version, torch_version, trusted, problem):
    monkeypatch.setattr(mmengine, '__version__', mmengine_version)
    monkeypatch.setattr(torch, '__version__', torch_version)
    monkeypatch.setenv(stack.TRUST, trusted)
    assert bool(stack.resume_problem()) == problem
    if problem:
        with pytest.raises(SearchError, match=f'no training can be resumed .* {stack.TRUST}=1'):
            run('train', config_file, '--resume')


def test_a_gpu_without_operators_is_refused(monkeypatch, capsys):
    """Else the first NMS on the GPU would end a training that has begun."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr('mmcv.ops.get_compiling_cuda_version', lambda: 'not available')
    assert cli.main(['train', 'any.py']) == 1
    assert 'CUDA_VISIBLE_DEVICES=' in capsys.readouterr().err


def small_coco(folder: Path) -> Path:
    """Write a config of a small RetinaNet on four pictures of 64 px with one bright square each."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(4):
        picture = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        x, y = (int(value) for value in rng.integers(4, 30, 2))
        picture[y:y + 24, x:x + 24] += 150
        Image.fromarray(picture).save(folder / f'{number}.png')
        images.append(dict(id=number, file_name=f'{number}.png', width=64, height=64))
        annotations.append(dict(id=number, image_id=number, category_id=1, bbox=[x, y, 24, 24], area=576, iscrowd=0))
    categories = [dict(id=1, name='square')]
    (folder / 'a.json').write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    data = dict(data_root=f'{folder}/', ann_file='a.json', data_prefix=dict(img=''), metainfo=dict(classes=('square',)))
    loader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
    config = Config.fromfile(str(Path(mmdet.__file__).parent / '.mim/configs/retinanet/retinanet_r18_fpn_1x_coco.py'))
    config.merge_from_dict({
        'model.backbone.init_cfg': None, 'model.bbox_head.num_classes': 1, 'model.test_cfg.score_thr': 0.0,
        'train_cfg.max_epochs': 2,
        'train_dataloader': loader, 'val_dataloader': loader, 'test_dataloader': loader,
        'val_evaluator.ann_file': str(folder / 'a.json'), 'test_evaluator.ann_file': str(folder / 'a.json'),
        'randomness': dict(seed=3, deterministic=True)})
    for split in ('train', 'val', 'test'):
        resize = next(step for step in config[f'{split}_dataloader'].dataset.pipeline if step.type == 'Resize')
        resize.scale = (64, 64)
    path = folder / 'retinanet.py'
    path.write_text(config.pretty_text)
    return path


@pytest.mark.slow
def test_the_same_as_mmdetections_own_tools(tmp_path, repo_root):
    """The same config, trained and tested by both: the same weights and the same detections, bit for bit."""
    config = small_coco(tmp_path)
    tools = {'stock': Path(mmdet.__file__).parent / '.mim' / 'tools', 'ours': repo_root / 'tools'}
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(repo_root)}
    for name, folder in tools.items():
        work_dir, out = tmp_path / name, str(tmp_path / f'{name}.pkl')
        for command in (['train.py', config], ['test.py', config, work_dir / 'epoch_2.pth', '--out', out]):
            subprocess.run([sys.executable, folder / command[0], *command[1:], '--work-dir', work_dir],
                           check=True, env=environment, cwd=tmp_path)
    stock, ours = (checkpoint(tmp_path / name, 2)['state_dict'] for name in tools)
    assert same(stock, ours)
    found = [[image['pred_instances'] for image in fileio.load(tmp_path / f'{name}.pkl')] for name in tools]
    assert len(found[0]) == 4 and all(len(image['scores']) for image in found[0])
    assert all(same(dict(a), dict(b)) for a, b in zip(*found, strict=True))
