import logging
import warnings
from itertools import combinations

import mmengine
import pytest
import torch
from mmengine.hooks import Hook

from nasdet import stack
from nasdet.errors import SearchError
from nasdet.training import PathSamplingHook, ProgressHook, build_runner, latest_checkpoint
from tests.training.toys import BlockSpace, names, same, toy_config, weights_of


class Kill(Hook):
    """Ends a training as an epoch begins, as a kill would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


def train(folder, epochs, hooks=(), model=None, **options):
    """Train the toy, two iterations an epoch."""
    config = toy_config(batch_size=8)
    runner = build_runner(config, model or config.model, folder, epochs, seed=3,
                          hooks=[PathSamplingHook(BlockSpace()), *hooks], **options)
    runner.train()
    runner.close()
    return runner


def train_until_killed(folder, epochs, kill, **options):
    with pytest.raises(KeyboardInterrupt):
        train(folder, epochs, hooks=[Kill(kill)], checkpoints=True, **options)


def test_resumed_training_equals_a_straight_one_bitwise(tmp_path):
    straight = train(tmp_path / 'a', 2, checkpoints=True)
    train_until_killed(tmp_path / 'b', 2, kill=1)
    resumed = train(tmp_path / 'b', 2, checkpoints=True)
    assert resumed.iter == straight.iter == 4
    assert same(weights_of(straight), weights_of(resumed))
    assert not same(weights_of(straight), weights_of(train(tmp_path / 'c', 1)))


class Shifts(Hook):
    """Records what augmentation has drawn for each batch."""

    def __init__(self):
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append((data_batch['inputs'].sum(1) - data_batch['targets']) / 3)


def test_workers_of_the_data_loader_draw_anew_in_each_epoch_and_the_same_after_a_resumption(tmp_path):
    whole, rest = Shifts(), Shifts()
    train(tmp_path / 'a', 2, hooks=[whole], num_workers=2)
    train_until_killed(tmp_path / 'b', 2, kill=1, num_workers=2)
    train(tmp_path / 'b', 2, hooks=[rest], checkpoints=True, num_workers=2)
    assert len(whole.batches) == 4      # of two workers in two epochs
    for a, b in combinations(whole.batches, 2):
        assert (a - b).abs().max() > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(whole.batches[2:], rest.batches, strict=True))


def test_the_configs_own_workers_are_not_persistent(tmp_path):
    config = toy_config()
    config.train_dataloader.prefetch_factor = 3
    loader = build_runner(config, config.model, tmp_path, 1, num_workers=None).train_dataloader
    assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers) == (2, 3, False)


def test_equal_arguments_give_equal_weights_in_one_process(tmp_path):
    assert same(weights_of(train(tmp_path / 'a', 2)), weights_of(train(tmp_path / 'b', 2)))


def test_parameters_off_the_path_have_no_gradient_and_are_not_decayed(tmp_path):
    config = toy_config(batch_size=16)      # one iteration
    runner = build_runner(config, config.model, tmp_path, 1, seed=3, hooks=[PathSamplingHook(BlockSpace())])
    runner.model.init_weights()
    before = {name: parameter.detach().clone() for name, parameter in runner.model.named_parameters()}
    runner.train()
    used = f'blocks.{PathSamplingHook(BlockSpace()).path(3, 0).value["block"]}.'
    stepped = runner.optim_wrapper.optimizer.state      # SGD keeps a momentum wherever there was a gradient, even zero
    for name, parameter in runner.model.named_parameters():
        expected = used in name or name.startswith('head')
        assert (parameter in stepped) == expected, name
        assert torch.equal(before[name], parameter) != expected, name


def test_a_checkpoint_that_this_stack_cannot_read_is_kept_and_named(tmp_path, monkeypatch):
    train_until_killed(tmp_path, 2, kill=1)
    monkeypatch.setattr(mmengine, '__version__', '0.10.7')
    monkeypatch.setattr(torch, '__version__', '2.10.0')
    monkeypatch.delenv(stack.TRUST, raising=False)
    with pytest.raises(SearchError, match=f'epoch_1.pth: mmengine 0.10.7 cannot read .* set {stack.TRUST}=1'):
        train(tmp_path, 2, checkpoints=True)
    monkeypatch.setenv(stack.TRUST, '1')
    assert train(tmp_path, 2, checkpoints=True).iter == 4


def test_a_torn_checkpoint_is_passed_over(tmp_path):
    straight = train(tmp_path / 'a', 3, checkpoints=True)
    assert [name for name in names(tmp_path / 'a') if name.endswith('.pth')] == ['epoch_2.pth', 'epoch_3.pth']
    train_until_killed(tmp_path / 'b', 3, kill=2)
    torn = tmp_path / 'b' / 'epoch_2.pth'
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.warns(UserWarning, match='epoch_2.pth is torn'):
        resumed = train(tmp_path / 'b', 3, checkpoints=True)
    assert same(weights_of(straight), weights_of(resumed))


def test_a_kill_while_writing_leaves_only_whole_checkpoints(tmp_path, monkeypatch):
    train_until_killed(tmp_path, 2, kill=1)
    monkeypatch.setattr('nasdet.training.checkpoints.os.replace', _die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 2, checkpoints=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert latest_checkpoint(tmp_path).name == 'epoch_1.pth'


def _die(source, target):
    raise KeyboardInterrupt


def test_loss_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(FloatingPointError, match='not finite in iteration 3'):
        train(tmp_path, 2, model=dict(type='ToySupernet', poison_at=3))


def test_the_folder_holds_a_log_and_nothing_by_date(tmp_path, capsys):
    runner = train(tmp_path, 1)
    assert names(tmp_path) == ['log.txt']
    assert 'Epoch(train)' in (tmp_path / 'log.txt').read_text()
    assert capsys.readouterr().out == ''
    assert not [handler for handler in runner.logger.handlers if isinstance(handler, logging.FileHandler)]


def test_amp_trains_on_this_device(tmp_path):
    runner = train(tmp_path, 1, amp=True)
    assert type(runner.optim_wrapper).__name__ == ('AmpOptimWrapper' if torch.cuda.is_available()
                                                   else 'CpuAmpOptimWrapper')
    assert not same(weights_of(runner), weights_of(train(tmp_path / 'full', 1)))
    assert all(parameter.dtype == torch.float32 for parameter in runner.model.parameters())


def test_schedule_is_carried_over(tmp_path):
    runner = train(tmp_path, 2)     # four iterations of a schedule for four epochs, with steps at 2 and 3
    assert runner.optim_wrapper.get_lr()['lr'][0] == pytest.approx(0.05 * 0.01)


def test_iterations_as_epochs_are_refused(tmp_path):
    config = toy_config()
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)
    with pytest.raises(ValueError, match='no max_epochs'):
        build_runner(config, config.model, tmp_path)


def test_progress_is_shown_from_where_a_resumed_training_stands(tmp_path, capsys):
    train_until_killed(tmp_path, 2, kill=1)
    progress = ProgressHook('toy')
    train(tmp_path, 2, hooks=[progress], checkpoints=True)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith('toy: 3/4, ETA') and lines[-1].startswith('toy: 4/4, ETA 00:00:00  loss ')
