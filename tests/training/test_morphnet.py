"""The hook that shrinks a network while it trains."""

import logging

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from nasdet.training import MorphNetHook, build_runner
from tests.training.toys import same, toy_config, weights_of


@MODELS.register_module()
class ToyConvNet(BaseModel):
    """A regression by two hidden layers of 1 x 1 convolutions; ``idle``: with no loss but the penalty."""

    def __init__(self, norm=True, idle=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8) if norm else nn.Identity()
        self.conv2, self.bn2 = nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6) if norm else nn.Identity()
        self.out = nn.Conv2d(6, 1, 1)
        self.idle = idle

    def forward(self, inputs, targets=None, mode='tensor'):
        x = inputs if inputs.ndim == 4 else inputs[..., None, None]
        x = self.out(self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()).flatten(1)
        if mode != 'loss':
            return x
        return dict(loss=(x.squeeze(1) - targets).square().mean() * (0 if self.idle else 1))


def config(weight_decay: float = 0.0, momentum: float = 0.0, length: int = 16, **model):
    """Four iterations an epoch, or as many as a quarter of ``length``."""
    cfg = toy_config()
    cfg.train_dataloader.dataset.length = length
    cfg.model = ConfigDict(type='ToyConvNet', **model)
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.05, momentum=momentum, weight_decay=weight_decay)
    cfg.param_scheduler = None
    return cfg


def train(folder, hook, epochs=4, checkpoints=False, **options):
    cfg = config(**options)
    runner = build_runner(cfg, cfg.model, folder, epochs, seed=0, hooks=[hook], checkpoints=checkpoints)
    try:
        runner.train()
    finally:
        runner.close()
    return runner


def hook(**options) -> MorphNetHook:
    return MorphNetHook((3, 1, 1), **options)


def test_a_step_follows_the_gradient_of_the_penalty(tmp_path):
    """One epoch is four steps without momentum and with no other loss, in which nothing dies."""
    shrink = hook(strength=0.5)
    runner = train(tmp_path, shrink, epochs=1, idle=True)
    cost = 3 * 8 + 8 * 6 + 6
    slopes = dict(bn1=(3 + 6) / cost, bn2=(8 + 1) / cost)
    for name, slope in slopes.items():
        expected = torch.full_like(runner.model.get_submodule(name).weight, 1 - 4 * 0.05 * 0.5 * slope)
        torch.testing.assert_close(runner.model.get_submodule(name).weight.data, expected)
    assert shrink.whole == cost
    assert shrink.widths == dict(conv1=8, conv2=6)


def test_channels_die_until_the_goal_is_reached_and_the_widths_rest(tmp_path):
    shrink = hook(goal=0.5, strength=0.5, growth=1.05, patience=2)
    runner = train(tmp_path, shrink, epochs=40, length=128)
    assert shrink.share <= 0.5
    assert shrink.ended
    assert runner.epoch < 40
    alive = {name: int((runner.model.get_submodule(norm).weight.abs() > 0.01).sum())
             for name, norm in (('conv1', 'bn1'), ('conv2', 'bn2'))}
    assert shrink.widths == {name: max(width, 1) for name, width in alive.items()}
    assert shrink.share == (3 * shrink.widths['conv1'] + shrink.widths['conv1'] * shrink.widths['conv2']
                            + shrink.widths['conv2']) / shrink.whole


def test_the_strength_grows_until_the_goal_is_reached(tmp_path):
    shrink = hook(goal=0.5, strength=1e-9, growth=2.0)
    train(tmp_path / 'weak', shrink, epochs=4)
    assert shrink.strength == 1e-9 * 2 ** 3     # not after the last epoch
    shrink = hook(goal=1.0, strength=1e-9, growth=2.0)
    train(tmp_path / 'met', shrink, epochs=4)
    assert shrink.strength == 1e-9


def test_the_strength_does_not_grow_until_channels_swing_over_the_threshold(tmp_path):
    """A step of bn1's gammas at strength 1 is 0.05 * 9 / 78, with momentum 0.5 in the long run twice that."""
    shrink = hook(goal=0.01, strength=0.5, growth=100.0, patience=None)
    train(tmp_path, shrink, epochs=2, idle=True, momentum=0.5)
    assert shrink.strength == pytest.approx(0.01 / (2 * 0.05 * 10 / 78), rel=0.2)      # bn2 is read by one more
    strength = shrink.strength
    train(tmp_path / 'long', shrink := hook(goal=0.01, strength=10 * strength, patience=None), epochs=3, idle=True)
    assert shrink.strength == 10 * strength     # what is given is not lowered


def test_a_resumed_training_goes_on_exactly(tmp_path):
    options = dict(goal=0.3, strength=0.5, growth=1.2)
    once, again = hook(**options), hook(**options)
    expected = train(tmp_path / 'once', once, epochs=4)
    cfg = config()
    runner = build_runner(cfg, cfg.model, tmp_path / 'parts', 4, seed=0, hooks=[hook(**options)], checkpoints=True)
    runner.train_loop.stop_training = False
    runner.register_hook(StopAfter(2))
    runner.train()
    runner.close()
    resumed = train(tmp_path / 'parts', again, epochs=4, checkpoints=True)
    assert same(weights_of(expected), weights_of(resumed))
    assert (again.strength, again.widths, again.reached) == (once.strength, once.widths, once.reached)
    assert again.starts == once.starts
    assert again.strength > options['strength']


class StopAfter(MorphNetHook):
    """Ends a training early, as a kill does."""

    def __init__(self, epochs):
        self.epochs = epochs

    def before_train(self, runner):
        pass

    before_train_iter = before_save_checkpoint = after_load_checkpoint = lambda self, *args, **kwargs: None

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch + 1 == self.epochs


def test_what_hinders_the_penalty_is_said_after_the_first_epoch(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger='nasdet.training.morphnet')
    shrink = hook(strength=1e-6)
    cfg = config(weight_decay=0.1)
    runner = build_runner(cfg, cfg.model, tmp_path, 3, hooks=[shrink])
    runner.model.bn1.requires_grad_(False)
    runner.train()
    runner.close()
    frozen, decay, slow = [record.message for record in caplog.records]
    assert '1 of 2 groups of channels cannot shrink, as their layers are frozen (conv1, ...)' in frozen
    assert 'weight decay shrinks every gamma' in decay
    assert 'no channel is about to die' in slow
    caplog.clear()
    train(tmp_path / 'well', hook(strength=1.0, gamma_threshold=0.9), epochs=6)
    assert not caplog.records


def test_norm_layers_whose_gamma_is_not_read_are_said(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger='nasdet.training.morphnet')
    cfg = config()
    runner = build_runner(cfg, cfg.model, tmp_path, 2, hooks=[shrink := hook(strength=1.0, lasso_threshold=0.9)])
    runner.model.bn1, runner.model.bn2 = nn.GroupNorm(4, 8), nn.BatchNorm2d(6, affine=False)
    runner.train()
    runner.close()
    assert shrink.importance.kinds == dict(conv1='lasso', conv2='lasso')
    assert [record.message for record in caplog.records if 'pass norm layers' in record.message] == [
        'MorphNet: 2 of 2 groups of channels pass norm layers, but are measured by the weights of their layers (conv1, '
        'conv2, ...): a gamma is read only of a batch norm right behind each of these layers, not of a GroupNorm']


def test_an_optimiser_that_evens_out_the_steps_is_said_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger='nasdet.training.morphnet')
    cfg = config()
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.01, weight_decay=0.0)
    runner = build_runner(cfg, cfg.model, tmp_path, 3, hooks=[hook(strength=1.0, gamma_threshold=0.9)])
    runner.train()
    runner.close()
    assert ['the rule is made for SGD; AdamW gives a dear channel' in record.message
            for record in caplog.records].count(True) == 1


def test_channels_without_gamma_are_measured_by_their_weights(tmp_path):
    shrink = hook(goal=0.6, strength=1.0, growth=1.05, patience=1)
    train(tmp_path, shrink, epochs=40, length=128, norm=False)
    assert set(shrink.importance.kinds.values()) == {'lasso'}
    assert shrink.share <= 0.6


def test_a_network_that_cannot_shrink_is_refused(tmp_path):
    with pytest.raises(ValueError, match='none of the 2 groups of channels can shrink'):
        train(tmp_path, hook(groups=()))


def test_groups_that_are_not_searched_keep_their_channels(tmp_path):
    shrink = hook(goal=0.5, strength=0.5, growth=1.05, groups=('conv2',))
    train(tmp_path, shrink, epochs=20, length=128)
    assert shrink.widths['conv1'] == 8
    assert shrink.widths['conv2'] < 6
    assert shrink.importance.kinds == dict(conv1='excluded', conv2='gamma')
