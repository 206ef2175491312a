"""Short trainings of the shipped digits config, with a narrower ResNet-10."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

EPOCHS = 4
FLOOR = 0.85    # val top-1 after 4 epochs; 5 seeds gave 0.943 to 0.970
_numbers = itertools.count()


def config(repo_root, work_dir, **options):
    cfg = Config.fromfile(repo_root / 'configs/classification/resnet10_digits.py')
    cfg.merge_from_dict({
        'model.backbone.base_channels': 16, 'model.in_channels': 128, 'train_cfg.max_epochs': EPOCHS,
        'train_cfg.val_interval': EPOCHS, 'param_scheduler.0.T_max': EPOCHS, 'custom_hooks.0.gamma': 20,
        'default_hooks.checkpoint.interval': EPOCHS // 2,
        'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0, 'test_dataloader.num_workers': 0,
        **options})
    cfg.work_dir, cfg.log_level = str(work_dir), 'ERROR'
    cfg.experiment_name = f'classifier-{next(_numbers)}'
    return cfg


@pytest.fixture(scope='module')
def trained(repo_root, tmp_path_factory):
    """Return the runner of one undisturbed training, and its checkpoint."""
    work_dir = tmp_path_factory.mktemp('trained')
    runner = Runner.from_cfg(config(repo_root, work_dir))
    runner.train()
    return runner, torch.load(work_dir / f'epoch_{EPOCHS}.pth', weights_only=False)


def val_accuracy(runner, state_dict):
    """Return the top-1 accuracy of weights on search-val, counted without Runner and metric."""
    model = runner.model.eval()
    model.load_state_dict(state_dict)
    data = runner.val_dataloader.dataset
    batch = torch.utils.data.default_collate([data[index] for index in range(len(data))])
    with torch.no_grad():
        predictions = torch.stack([item.label[0] for item in model.val_step(batch)])
    return (predictions == batch['data_samples']).double().mean().item()


def test_it_learns_and_the_checkpoint_holds_the_averaged_weights_that_were_scored(trained):
    runner, checkpoint = trained
    scored = runner.message_hub.get_scalar('val/accuracy/top1').current()
    assert scored > FLOOR
    assert val_accuracy(runner, checkpoint['state_dict']) == pytest.approx(scored)
    last = checkpoint['ema_state_dict']['module.fc.weight']
    assert not torch.allclose(checkpoint['state_dict']['fc.weight'], last)


def test_the_schedule_is_a_cosine_to_zero(trained):
    steps = EPOCHS * 18
    schedule = trained[1]['param_schedulers'][0]
    assert schedule['_last_value'][0] == pytest.approx(0.05 * (1 + math.cos(math.pi * (steps - 1) / steps)))


def test_a_resumed_training_is_the_undisturbed_one_to_the_bit(trained, repo_root, tmp_path):
    half_way = str(Path(trained[0].work_dir) / f'epoch_{EPOCHS // 2}.pth')
    Runner.from_cfg(config(repo_root, tmp_path, resume=True, load_from=half_way)).train()
    checkpoint = torch.load(tmp_path / f'epoch_{EPOCHS}.pth', weights_only=False)
    for name in ('state_dict', 'ema_state_dict'):
        expected = trained[1][name]
        assert checkpoint[name].keys() == expected.keys()
        assert all(torch.equal(checkpoint[name][key], expected[key]) for key in expected)


def test_mixed_precision_trains_in_bfloat16(repo_root, tmp_path):
    runner = Runner.from_cfg(config(repo_root, tmp_path, **{
        'optim_wrapper.type': 'CpuAmpOptimWrapper', 'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2,
        'param_scheduler.0.T_max': 2}))
    dtypes = set()
    runner.model.fc.register_forward_hook(lambda module, args, output: dtypes.add((module.training, output.dtype)))
    runner.train()
    assert dtypes == {(True, torch.bfloat16), (False, torch.float32)}
    assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert losses[-6:].mean() < losses[:6].mean() - 0.2
