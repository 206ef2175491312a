"""DARTS's trainer on tiny networks and the built-in digits: what it records, its steps, and going on after a kill."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from nasdet.config import load_config
from nasdet.datasets import prepare
from nasdet.spaces import DARTSSpace
from nasdet.testing import check_trainer
from nasdet.trainers import DARTSTrainer
from nasdet.training import BilevelTrainLoop, build_runner
from nasdet.training.bilevel import count_skips

BASE = Path(__file__).parents[2] / 'configs' / '_base_' / 'classification' / 'cells_digits.py'
SPACE = DARTSSpace(num_blocks=2, ops=('id', 'max3', 'sep3'))
TRAIN, VAL, BATCH = 24, 16, 8


def tiny_config(folder, **data):
    """Return a prepared config of a network of two cells, and 24 digits to train on in 3 batches."""
    cfg = load_config(str(BASE))
    cfg.search.data.update(train_size=TRAIN, val_size=VAL, test_size=20, **data)
    cfg.train_dataloader.batch_size = BATCH
    cfg.optim_wrapper.clip_grad = dict(max_norm=5)
    cfg.model.backbone.update(genotype='darts_v2_cifar', num_cells=(1, 1), width=2)
    cfg = prepare(cfg, folder)
    return Config({name: part for name, part in cfg.items() if name != 'search'})


class Steps:
    """Takes records, and ends the training at one as a kill would."""

    def __init__(self, kill_at=None):
        self.kill_at, self.taken = kill_at, []

    def __call__(self, number, genotype, evaluation, candidate=False):
        if number == self.kill_at:
            raise KeyboardInterrupt
        SPACE.check(genotype)
        skips = evaluation.fidelity.pop('skips')
        self.taken.append((number, genotype, evaluation.metrics, evaluation.fidelity, skips, candidate))


def trainer(folder, **options):
    return DARTSTrainer(SPACE, tiny_config(folder), folder, **{'epochs': 3, 'seed': 5, **options})


def checkpoint(folder, epoch):
    state = torch.load(folder / 'training' / f'epoch_{epoch}.pth', weights_only=False)
    return state['state_dict'], state['optimizer'], state['architecture']


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize('order', [1, 2])
def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path, order):
    whole, killed, rest = Steps(), Steps(kill_at=1), Steps()
    trainer(tmp_path / 'a', order=order).run(whole)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / 'b', order=order).run(killed)
    assert sorted(path.name for path in (tmp_path / 'b' / 'training').glob('*.pth')) == ['epoch_1.pth']
    trainer(tmp_path / 'b', order=order).run(rest)
    assert killed.taken + rest.taken == whole.taken
    assert_equal(checkpoint(tmp_path / 'a', 3), checkpoint(tmp_path / 'b', 3))
    numbers, _, metrics, fidelity, skips, candidates = zip(*whole.taken, strict=True)
    assert numbers == (0, 1, 2, 3) and candidates == (False, False, False, True)
    assert whole.taken[3][1] == whole.taken[2][1] and trainer(tmp_path / 'a').steps == 4
    assert [each['epochs'] for each in fidelity] == [1, 2, 3, 3] and all(0 <= number <= 4 for number in skips)
    assert all(0 <= each['accuracy/top1'] <= 1 for each in metrics)
    weights, optimizer, architecture = checkpoint(tmp_path / 'a', 3)
    assert {name for name in weights if 'alphas' in name} == {'backbone.alphas.normal', 'backbone.alphas.reduce'}
    assert architecture['optimizer']['state'][0]['step'] == 9       # an architecture step in each iteration


def test_it_conforms_killed_or_not(tmp_path):
    config = tiny_config(tmp_path)
    check_trainer(lambda folder: DARTSTrainer(SPACE, copy.deepcopy(config), folder, epochs=2, order=1))


def test_the_fingerprint_is_that_of_the_data_wherever_they_lie(tmp_path):
    first, moved, other = (DARTSTrainer(SPACE, tiny_config(tmp_path / str(number), seed=seed), tmp_path).fingerprint
                           for number, seed in enumerate((0, 0, 1)))
    assert first == moved != other


def state_of(runner):
    """Return copies of all tensors of a training by name: the model's, and the momenta of its weights."""
    named = {id(weight): name for name, weight in runner.model.named_parameters()}
    momenta = {f'momentum of {named[id(weight)]}': state['momentum_buffer']
               for weight, state in runner.optim_wrapper.optimizer.state.items()}
    return {name: tensor.clone() for name, tensor in {**runner.model.state_dict(), **momenta}.items()}


@pytest.mark.parametrize('order', [1, 2])
def test_an_architecture_step_changes_nothing_but_the_architecture(tmp_path, monkeypatch, order):
    step, moves = BilevelTrainLoop._step_architecture, []

    def watched(loop, batch):
        before = state_of(loop.runner)
        loss = step(loop, batch)
        after = state_of(loop.runner)
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        assert changed == {'backbone.alphas.normal', 'backbone.alphas.reduce'} and torch.isfinite(loss)
        assert loop.iter == 0 or any(name.startswith('momentum of ') for name in after)
        moves.append([(after[name] - before[name]).abs() for name in sorted(changed)])
        return loss

    monkeypatch.setattr(BilevelTrainLoop, '_step_architecture', watched)
    trainer(tmp_path, order=order, epochs=1, architecture=dict(lr=0.02)).run(Steps())
    assert len(moves) == TRAIN // BATCH
    for moved in moves[0]:      # Adam's first step is as long as its learning rate
        assert moved.max() == pytest.approx(0.02, rel=1e-3) and moved.median() == pytest.approx(0.02, rel=1e-2)


def test_the_orders_are_not_the_same(tmp_path):
    for order in (1, 2):
        trainer(tmp_path / str(order), order=order, epochs=1).run(Steps())
    first, second = (checkpoint(tmp_path / str(order), 1)[0]['backbone.alphas.normal'] for order in (1, 2))
    assert not torch.equal(first, second)


def test_the_architecture_waits_for_the_warm_up(tmp_path):
    waiting = trainer(tmp_path, epochs=2, warmup_epochs=1)
    assert waiting.images == 3 * TRAIN and trainer(tmp_path).images == 6 * TRAIN
    waiting.run(Steps())
    states = [checkpoint(tmp_path, epoch)[2]['optimizer']['state'] for epoch in (1, 2)]
    assert states[0] == {} and states[1][0]['step'] == 3


def test_the_architecture_sees_search_val_in_whole_batches_as_the_weights_see_search_train(tmp_path):
    darts = trainer(tmp_path)
    loader, config = darts._search_val(), darts.config
    assert (loader.dataset.split, loader.batch_size, loader.drop_last) == ('val', BATCH, True)
    assert loader.dataset.transforms == config.train_dataloader.dataset.transforms
    assert loader.dataset.transforms != config.val_dataloader.dataset.get('transforms')
    assert config.train_dataloader.dataset.split == 'train'


def test_the_search_ends_where_the_normal_cell_is_full_of_skips(tmp_path):
    """A space of identities only is full of them, once the warm-up is over."""
    skips = DARTSSpace(num_blocks=2, ops=('id',))
    taken = []

    def record(number, genotype, evaluation, candidate=False):
        taken.append((number, evaluation.fidelity, candidate))

    def run():
        search = DARTSTrainer(skips, tiny_config(tmp_path), tmp_path, epochs=4, warmup_epochs=1, max_skips=3)
        planned = search.steps, search.images
        search.run(record)
        return planned, (search.steps, search.images)

    planned, trained = run()
    assert planned == (5, (4 + 3) * TRAIN) and trained == (3, (2 + 1) * TRAIN)      # what the control may spend
    assert taken == [(0, dict(epochs=1, skips=4), False), (1, dict(epochs=2, skips=4), False),
                     (2, dict(epochs=2, skips=4), True)]
    assert run() == (trained, trained)      # stays ended
    assert len(taken) == 3 and len(list((tmp_path / 'training').glob('*.pth'))) == 2


def test_the_genotype_before_the_collapse_is_the_result():
    cells = [dict(normal=dict(blocks=[[0, 'id', 1, op]] * 2)) for op in ('sep3', 'id')]
    loop = SimpleNamespace(derived=None, max_skips=2, epoch=3, warmup_epochs=0, relaxed=None)
    for cell in cells:
        loop.relaxed = SimpleNamespace(derive=lambda cell=cell: cell)
        BilevelTrainLoop.derive(loop)
    assert [count_skips(cell) for cell in cells] == [2, 4]
    assert loop.stop_training and loop.derived == cells[0]


def test_the_weights_optimiser_has_all_but_the_architecture():
    init_default_scope('mmdet')
    model = MODELS.build(SPACE.relaxed(dict(type='ImageClassifier', backbone=dict(
        type='CellNetwork', num_cells=(1,), width=2, num_classes=3))))
    wrapper = build_optim_wrapper(model, dict(
        type='OptimWrapper', constructor='WeightsOptimWrapperConstructor', paramwise_cfg=dict(norm_decay_mult=0.0),
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.3)))
    held = {id(weight) for group in wrapper.optimizer.param_groups for weight in group['params']}
    assert {name for name, weight in model.named_parameters() if id(weight) not in held} == {
        'backbone.alphas.normal', 'backbone.alphas.reduce'}
    assert {group['weight_decay'] for group in wrapper.optimizer.param_groups} == {0.0, 0.3}


def test_refuses_what_it_cannot_train(tmp_path):
    for options, words in ((dict(order=3), 'order is 1 or 2, not 3'), (dict(warmup_epochs=3), 'less than epochs=3'),
                           (dict(warmup_epochs=-1), 'at least 0')):
        with pytest.raises(ValueError, match=words):
            trainer(tmp_path, **options).check()
    large = trainer(tmp_path)
    large.check()
    large.config.train_dataloader.batch_size = 17
    with pytest.raises(ValueError, match='search-val has 16 images, fewer than a batch of 17'):
        large.check()
    for changes, words in ((dict(optimizer=dict(nesterov=True)), 'without Nesterov momentum'),
                           (dict(accumulative_counts=2), 'leave accumulative_counts out'),
                           (dict(type='CpuAmpOptimWrapper'), 'in float32')):
        other = trainer(tmp_path)
        other.config.optim_wrapper.update(changes)
        with pytest.raises(ValueError, match=words):
            other.check()
    large.config.optim_wrapper.constructor = 'LayerDecayOptimizerConstructor'
    with pytest.raises(ValueError, match='leave constructor out of optim_wrapper'):
        large.check()


def test_two_splits_of_one_size_are_read_in_different_orders(tmp_path):
    """Else the same picture of search-train would meet the same one of search-val in every epoch."""
    config = tiny_config(tmp_path)
    loop = dict(type='BilevelTrainLoop', val_dataloader=trainer(tmp_path)._search_val())
    runner = build_runner(config, SPACE.relaxed(config.model), tmp_path / 'training', 1, seed=5, loop=loop)
    samplers = (runner.train_dataloader.sampler, runner.train_loop.val_dataloader.sampler)
    for epoch in range(3):
        orders = []
        for sampler in samplers:
            sampler.dataset, sampler.total_size = range(VAL), VAL      # as if both splits were as large
            sampler.set_epoch(epoch)
            orders.append(list(sampler))
        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(VAL))
    runner.close()


def test_the_loop_refuses_an_optimiser_that_would_decay_the_architecture(tmp_path):
    config = tiny_config(tmp_path)
    loop = dict(type='BilevelTrainLoop', val_dataloader=config.val_dataloader)
    runner = build_runner(config, SPACE.relaxed(config.model), tmp_path / 'training', 1, loop=loop)
    with pytest.raises(ValueError, match="set constructor='WeightsOptimWrapperConstructor'"):
        runner.train()
    runner.close()
