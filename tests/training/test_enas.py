"""ENAS's epoch: another path in each iteration, then rewards from search-val with the weights as they are."""

import itertools

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from nasdet.datasets import prepare
from nasdet.randomness import PATHS, SEARCH, generator
from nasdet.training import build_runner, set_path
from nasdet.training.enas import ENASTrainLoop
from tests.classifiers import TinySpace, write_config

SEED, EPOCHS, UPDATES, SAMPLES = 3, 2, 2, 4     # 8 rewards an epoch
BATCH, ITERATIONS, VALIDATION = 16, 4, 48       # from 3 batches
SPACE = TinySpace()


class Policy:
    """Draws uniformly, and keeps what it is taught together with the weights of that moment."""

    def __init__(self):
        self.model, self.taught = None, []

    def sample(self, rng):
        tokens = SPACE.draw(rng)
        return SPACE.decode(tokens), tokens

    def learn(self, scored):
        self.taught.append((list(scored), weights_of(self.model)))
        return dict(reward=sum(one.accuracy for one in scored))

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise AssertionError('nothing is resumed here')


class Watch(Hook):
    """Notes the path and the weights of each iteration, and the weights at the end of each epoch."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.iterations, self.ends = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.iterations.append((runner.iter, tuple(runner.model.backbone.kernels), weights_of(runner.model)))

    def after_train_epoch(self, runner):
        self.ends.append(weights_of(runner.model))


def weights_of(model) -> list:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('enas')
    data = dict(type='HandwrittenDigits', size=16, train_size=BATCH * ITERATIONS, val_size=VALIDATION, test_size=20)
    config = prepare(Config.fromfile(str(write_config(folder / 'tiny.py', data=data))), folder)
    config.custom_hooks = []
    watch = Watch()
    sampler = dict(type='DefaultSampler', shuffle=True, seed=SEED)
    rewards = dict(config.val_dataloader, batch_size=BATCH, sampler=sampler)
    loop = dict(type='ENASTrainLoop', space=SPACE, policy=Policy(), rewards=rewards, updates=UPDATES, samples=SAMPLES,
                seed=SEED)
    runner = build_runner(config, SPACE.supernet(config.model), folder, EPOCHS, SEED, loop=loop, hooks=[watch])
    policy = runner.train_loop.policy       # a copy: a Runner copies its config
    policy.model = runner.model
    runner.train()
    yield runner, policy, watch
    runner.close()


def test_each_iteration_trains_the_path_that_was_drawn_for_it(trained):
    _, _, watch = trained
    numbers = list(range(EPOCHS * ITERATIONS))
    wanted = [tuple(SPACE.sample(generator(SEED, number, PATHS)).value['kernels']) for number in numbers]
    assert [iteration for iteration, *_ in watch.iterations] == numbers
    assert [kernels for _, kernels, _ in watch.iterations] == wanted
    assert len(set(wanted)) > 2
    assert all(not same(a, b) for (*_, a), (*_, b) in itertools.pairwise(watch.iterations))


def test_the_weights_stay_as_they_are_while_the_policy_learns(trained):
    _, policy, watch = trained
    assert len(policy.taught) == EPOCHS * UPDATES
    for epoch, end in enumerate(watch.ends):
        last = watch.iterations[ITERATIONS * (epoch + 1) - 1][-1]
        assert same(last, end)
        for _, weights in policy.taught[epoch * UPDATES:(epoch + 1) * UPDATES]:
            assert same(last, weights)


def test_a_reward_is_the_accuracy_on_the_next_batch_of_search_val(trained):
    """In the last epoch, whose weights the network still has; its three batches come again in another order."""
    runner, policy, _ = trained
    loop: ENASTrainLoop = runner.train_loop
    assert len(loop.rewards.dataset) == VALIDATION and len(loop.rewards) == 3       # search-train is larger
    orders, batches = [], []
    for number in range(3):
        loop.rewards.sampler.set_epoch(EPOCHS - 1 + number * EPOCHS)
        orders.append(list(loop.rewards.sampler))
        batches += list(loop.rewards)
    assert orders[0] != orders[1] and all(sorted(order) == list(range(VALIDATION)) for order in orders)
    scored = [one for update, _ in policy.taught[-UPDATES:] for one in update]
    first = (EPOCHS - 1) * UPDATES * SAMPLES
    for number, (one, batch) in enumerate(zip(scored, batches, strict=False)):
        assert one.tokens == SPACE.draw(generator(SEED, first + number, SEARCH))
        set_path(runner.model, SPACE, SPACE.decode(one.tokens))
        with torch.no_grad():
            logits = runner.model.eval()(runner.model.data_preprocessor(batch)['inputs'], mode='tensor')
        assert one.accuracy == pytest.approx((logits.argmax(1) == batch['data_samples']).double().mean().item())
    assert len({one.accuracy for one in scored}) > 1
