"""ENAS's controllers: distributions over whole spaces, and what their decisions depend on."""

from itertools import product

import numpy as np
import pytest
import torch

from nasdet.spaces import ENASMacroSpace, ENASMicroSpace, NASNetSpace
from nasdet.trainers.enas_controller import MacroController, MicroController
from nasdet.trainers.enas_policy import Policy
from nasdet.training.enas import Scored

MICRO = ENASMicroSpace(2, ('sep3', 'id'))
MACRO = ENASMacroSpace(4, ('conv3', 'max3'))
BOTH = pytest.mark.parametrize('space, make', [(MICRO, MicroController), (MACRO, MacroController)],
                               ids=['micro', 'macro'])


def spread(controller):
    """Make a controller less uniform than it is drawn."""
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(10)
    return controller


def draws(controller, space, number=20):
    return [controller.sample(space, np.random.default_rng(seed)) for seed in range(number)]


@BOTH
def test_scores_are_the_log_probabilities_of_the_draws(space, make):
    controller = spread(make(space.vocab, hidden=8))
    drawn = draws(controller, space)
    log_p, entropy = controller([list(space.walk(tokens)) for tokens, _ in drawn])
    torch.testing.assert_close(log_p, torch.tensor([log_probs for _, log_probs in drawn]), atol=1e-5, rtol=1e-4)
    assert len({tokens for tokens, _ in drawn}) > 10
    assert 0 < entropy.min() and entropy.max() <= np.log(3) + 1e-6      # three states at most


@pytest.mark.parametrize('space, make', [(ENASMicroSpace(1, ('sep3', 'id')), MicroController),
                                         (ENASMacroSpace(3, ('conv3', 'max3')), MacroController)])
def test_the_probabilities_of_a_whole_space_add_up_to_one(space, make):
    controller = spread(make(space.vocab, hidden=8, tanh=dict(op=1.5), temperature=2.0))
    length = len(space.draw(np.random.default_rng(0)))
    everything = list(product((0, 1), repeat=length))       # here every decision is between two
    assert len(everything) == space.size()
    with torch.no_grad():
        log_p, _ = controller([list(space.walk(tokens)) for tokens in everything])
    assert log_p.sum(1).exp().sum().item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize('space, make, since', [(MICRO, MicroController, 3), (MACRO, MacroController, 1)])
def test_decisions_depend_on_those_before(space, make, since):
    """In an early version of the authors' code they did not; the inputs of a cell have equal anchors, zeros."""
    controller = spread(make(space.vocab, hidden=8))
    drawn = [tokens for tokens, _ in draws(controller, space)]
    log_p, entropy = controller([list(space.walk(tokens)) for tokens in drawn])
    by_prefix = [{} for _ in drawn[0]]
    for tokens, own in zip(drawn, entropy.tolist(), strict=True):
        for position, value in enumerate(own):
            by_prefix[position].setdefault(tokens[:position], set()).add(round(value, 5))
    assert all(len(values) == 1 for known in by_prefix for values in known.values())
    different = [len(set().union(*known.values())) for known in by_prefix]
    assert different[:since] == [1] * since and min(different[since:]) > 1


def test_a_state_is_scored_by_its_own_anchor():
    controller = spread(MicroController(MICRO.vocab, hidden=8))
    keys, hidden = torch.randn(3, 8), torch.randn(1, 8)
    scores = controller._scores([key[None] for key in keys], hidden)
    for key, score in zip(keys, scores, strict=True):
        inner = torch.tanh(key + controller.query.weight @ hidden[0])
        assert score.item() == pytest.approx((controller.score.weight[0] @ inner).item(), abs=1e-5)


@BOTH
def test_it_learns_what_pays_in_a_few_steps(space, make):
    kind = 'micro' if make is MicroController else 'macro'
    policy = Policy(space, attention=kind, lr=0.02, baseline=0.9, hidden=16)
    names = [choice.name for choice, _ in space.walk(space.draw(np.random.default_rng(0)))]
    rewarded = [position for position, name in enumerate(names) if name.split('.')[-1].startswith('op')]
    rng = np.random.default_rng(0)
    for _ in range(25):
        drawn = [policy.sample(rng)[1] for _ in range(8)]
        figures = policy.learn([Scored(tokens, np.mean([tokens[at] for at in rewarded])) for tokens in drawn])
    assert figures['sampled_accuracy'] > 0.9
    assert all(space.encode(policy.greedy())[at] == 1 for at in rewarded)


def test_bounds():
    controller = spread(MacroController(MACRO.vocab, hidden=8, tanh=dict(op=0.3, skip=0.2)))
    walks = [list(MACRO.walk(tokens)) for tokens, _ in draws(controller, MACRO)]
    log_p, _ = controller(walks)
    least = {'op': 0.3, 'skip': 0.2}
    for walk, own in zip(walks, log_p.exp().tolist(), strict=True):
        for (choice, _), probability in zip(walk, own, strict=True):
            bound = least[choice.kind]
            assert probability >= np.exp(-bound) / (np.exp(-bound) + np.exp(bound)) - 1e-6


def test_refuses_other_spaces():
    with pytest.raises(ValueError, match='of the kinds op, state, but this space has state, op, combine'):
        MicroController(NASNetSpace().vocab)
    with pytest.raises(ValueError, match='of the kinds op, skip, .* tanh state'):
        MacroController(MACRO.vocab, tanh=dict(state=1.0))
    with pytest.raises(ValueError, match="attention is one of None, 'micro', 'macro', not 'nano'"):
        Policy(MICRO, attention='nano')
