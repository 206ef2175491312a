"""ENAS's policy: its loss by hand, what it learns, what holds it back."""

import copy
import math

import numpy as np
import pytest
import torch

from nasdet.config import load_config
from nasdet.genotype import Genotype
from nasdet.registry import SPACES, build
from nasdet.spaces import ENASMicroSpace
from nasdet.spaces.base import Choice, Space
from nasdet.trainers.enas_policy import Policy
from nasdet.training.enas import Scored


class SwitchSpace(Space):
    """Four switches, the first of them forced."""

    vocab = dict(switch=(False, True))

    def choices(self, prefix):
        return Choice(f'switch{len(prefix)}', 'switch', (0, 1) if prefix else (1,)) if len(prefix) < 4 else None

    def decode(self, tokens):
        return Genotype('SwitchSpace', dict(switches=[bool(token) for _, token in self.walk(tokens)]))

    def encode(self, genotype):
        return tuple(int(switch) for switch in genotype.value['switches'])


def on(policy, draws=200):
    """Return how often each open switch is on."""
    drawn = [policy.sample(np.random.default_rng(number))[1] for number in range(draws)]
    return np.mean(drawn, axis=0)[1:]


def test_the_loss_is_that_of_reinforce_with_a_baseline_that_moves_first():
    policy = Policy(SwitchSpace(), entropy=0.01, baseline=0.9, seed=3)
    samples = [Scored((1, 0, 1, 1), 0.5), Scored((1, 1, 1, 0), 0.25)]
    walks = [list(policy.space.walk(sample.tokens)) for sample in samples]
    log_p, entropy = (part.sum(1).tolist() for part in policy.controller(walks))
    baseline, expected = 0.0, []
    for sample, log_probability, own in zip(samples, log_p, entropy, strict=True):
        reward = sample.accuracy + 0.01 * own
        baseline = 0.9 * baseline + 0.1 * reward
        expected.append(-log_probability * (reward - baseline))
    loss, shown = policy.loss(samples)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert policy.average == pytest.approx(baseline) and shown.tolist() == pytest.approx(entropy)
    loss.backward()
    assert policy.controller.head.bias.grad.abs().max() > 0


def test_it_learns_what_pays_in_a_few_steps():
    policy = Policy(SwitchSpace(), lr=0.02, baseline=0.9)
    before = on(policy)
    rng = np.random.default_rng(0)
    for _ in range(25):
        drawn = [policy.sample(rng)[1] for _ in range(10)]
        figures = policy.learn([Scored(tokens, (tokens[1] + 1 - tokens[3]) / 2) for tokens in drawn])
    after = on(policy)
    assert after[0] > before[0] + 0.3 and after[2] < before[2] - 0.3
    assert policy.greedy().value['switches'][1] and not policy.greedy().value['switches'][3]
    assert figures['sampled_accuracy'] > 0.8 and 0.5 < figures['baseline'] < 1 and figures['entropy'] < 3 * math.log(2)


def test_equal_rewards_teach_nothing_once_the_baseline_is_there():
    policy = Policy(SwitchSpace(), entropy=0.0, baseline=0.5)
    policy.average = 0.5
    loss, _ = policy.loss([Scored((1, 0, 1, 1), 0.5)])
    assert loss.item() == 0


def test_a_prior_holds_decisions_near_it():
    policy = Policy(SwitchSpace(), lr=0.05, entropy=0.0, prior=dict(switch=0.1), prior_weight=1.0)
    policy.average = 0.5
    for _ in range(60):
        policy.learn([Scored((1, 0, 1, 0), 0.5)])
    assert np.abs(on(policy) - 0.1).max() < 0.08
    loss, _ = policy.loss([Scored((1, 0, 1, 0), 0.5)])
    assert 0 <= loss.item() < 0.02      # a divergence


@pytest.mark.parametrize('name', ['enas_macro_cifar10_search', 'enas_macro_digits_search'])
def test_the_macro_configs_weigh_the_prior_as_the_authors_do(name, repo_root):
    """0.8 times the mean over the layers that can skip, of a sum."""
    search = load_config(str(repo_root / 'configs' / 'enas' / f'{name}.py')).search
    space = build(SPACES, search.space)
    walk = space.walk(space.draw(np.random.default_rng(0)))
    layers = {choice.name.partition('.')[0] for choice, _ in walk if choice.kind == 'skip'}
    assert search.trainer.controller.prior_weight == pytest.approx(0.8 / len(layers))
    assert search.trainer.controller.prior == dict(skip=0.4)


def test_bounds_and_biases_of_logits():
    space = ENASMicroSpace(2, ('sep3', 'sep5', 'id'))
    policy = Policy(space, tanh=dict(state=1.1, op=0.44), bias=dict(op=dict(sep3=10, sep5=10)))
    walk = list(space.walk(policy.sample(np.random.default_rng(0))[1]))
    log_p, _ = policy.controller([walk])
    ops = [(token, probability) for (choice, token), probability in zip(walk, log_p[0].exp().tolist(), strict=True)
           if choice.kind == 'op']
    bound = math.exp(0.44)
    for token, probability in ops:
        weights = (bound, bound, 1.0)       # the two saturate the bound; the third is near 0, as it was drawn
        assert probability == pytest.approx(weights[token] / sum(weights), abs=0.03)
    with torch.no_grad():
        policy.controller.head.weight.mul_(1e4)
    log_p, _ = policy.controller([walk])
    assert log_p.exp().min() >= math.exp(-1.1) / (math.exp(-1.1) + 2 * math.exp(1.1)) - 1e-6


def test_a_policy_goes_on_where_it_was():
    def learn(policy, number):
        rng = np.random.default_rng(number)
        policy.learn([Scored(policy.sample(rng)[1], rng.random()) for _ in range(3)])

    first, second = Policy(SwitchSpace(), seed=1), Policy(SwitchSpace(), seed=2)
    learn(first, 0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for policy in (first, second):
        learn(policy, 1)
    assert first.average == second.average
    for name, tensor in first.controller.state_dict().items():
        assert torch.equal(tensor, second.controller.state_dict()[name])


@pytest.mark.parametrize('options, words', [
    (dict(bias=dict(op=dict(sep9=1))), "bias names 'sep9' of the kind 'op'"),
    (dict(tanh=dict(skip=1)), "bounds decisions of the kind 'skip', but this space has the kinds state, op"),
    (dict(baseline=1), 'baseline is a decay from 0 to below 1'), (dict(temperature=0), 'and temperature above 0'),
    (dict(prior=dict(op=0.4)), "for kinds of two words, .* not 'op'")])
def test_refuses_words_that_the_space_does_not_have_and_numbers_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        Policy(ENASMicroSpace(), **options)
