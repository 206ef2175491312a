import numpy as np
import pytest
import torch

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal, Result
from nasdet.searchers import RandomSearcher, ReinforceSearcher
from nasdet.searchers.controller import Controller
from nasdet.searchers.reinforce import Sample
from nasdet.spaces.base import Choice, Space
from tests.toys import ToySpace, planted_score


class OneDecision(Space):
    """One decision of four tokens, the third of which is masked."""

    vocab = dict(op=('a', 'b', 'c', 'd'))

    def choices(self, prefix):
        return None if prefix else Choice('op', 'op', (0, 1, 3))

    def decode(self, tokens):
        return Genotype('OneDecision', dict(op=self.vocab['op'][tokens[0]]))

    def encode(self, genotype):
        return (self.vocab['op'].index(genotype.value['op']),)


def drawn(searcher, trials, seed=0):
    return [searcher.ask(trial, np.random.default_rng((seed, trial))) for trial in range(trials)]


def samples_of(proposals, rewards):
    return [Sample(p.tokens, tuple(p.meta['log_probs']), float(r)) for p, r in zip(proposals, rewards, strict=True)]


@pytest.mark.parametrize('update', ['reinforce', 'ppo'])
def test_gradient_is_the_closed_form_on_one_decision(update):
    searcher = ReinforceSearcher(OneDecision(), update=update, entropy=0.0)
    searcher.controller.double()
    proposals = drawn(searcher, 30)
    advantages = np.random.default_rng(1).normal(size=30)
    searcher.loss(samples_of(proposals, advantages)).backward()

    logits, hidden = one_step(searcher.controller)
    legal = [0, 1, 3]
    policy = torch.softmax(logits[legal], 0)
    expected = torch.zeros(4, dtype=torch.float64)
    for proposal, advantage in zip(proposals, advantages, strict=True):
        one_hot = torch.eye(4, dtype=torch.float64)[proposal.tokens[0]]
        expected[legal] -= advantage * (one_hot[legal] - policy) / len(proposals)       # d -A log p / d logits
    torch.testing.assert_close(searcher.controller.head.bias.grad, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(searcher.controller.head.weight.grad, torch.outer(expected, hidden),
                               rtol=1e-9, atol=1e-12)


def test_entropy_gradient_is_the_closed_form_on_one_decision():
    searcher = ReinforceSearcher(OneDecision(), entropy=0.7)
    searcher.controller.double()
    searcher.loss(samples_of(drawn(searcher, 5), np.zeros(5))).backward()

    logits, _ = one_step(searcher.controller)
    legal = [0, 1, 3]
    log_p = torch.log_softmax(logits[legal], 0)
    entropy = -(log_p.exp() * log_p).sum()
    expected = torch.zeros(4, dtype=torch.float64)
    expected[legal] = 0.7 * log_p.exp() * (log_p + entropy)                             # d -0.7 H / d logits
    torch.testing.assert_close(searcher.controller.head.bias.grad, expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def one_step(controller):
    """Compute an LSTM's first step from its definition; return logits and hidden state."""
    x = controller.embedding.weight[controller.start]
    lstm = controller.lstm
    i, f, g, o = (lstm.weight_ih_l0 @ x + lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    hidden = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
    return controller.head.weight @ hidden + controller.head.bias, hidden


def test_scoring_a_sequence_gives_the_log_probabilities_that_it_was_drawn_with():
    space = ToySpace(6)
    controller = Controller(space.vocab, init=0.5).double()
    drawn_ones = [controller.sample(space, np.random.default_rng(seed)) for seed in range(20)]
    assert len({len(tokens) for tokens, _ in drawn_ones}) > 1, 'the sequences must differ in length for this test'
    log_probs, entropy = controller([list(space.walk(tokens)) for tokens, _ in drawn_ones])
    for n, (tokens, drawn_log_probs) in enumerate(drawn_ones):
        torch.testing.assert_close(log_probs[n, :len(tokens)], torch.tensor(drawn_log_probs, dtype=torch.float64))
        assert (log_probs[n, len(tokens):] == 0).all() and (entropy[n, len(tokens):] == 0).all()


def test_first_epoch_of_ppo_has_ratio_one():
    searcher = ReinforceSearcher(ToySpace(6), entropy=0.0)
    proposals = drawn(searcher, 20)
    log_probs, _ = searcher.controller([list(searcher.space.walk(p.tokens)) for p in proposals])
    for n, proposal in enumerate(proposals):
        old = torch.tensor(proposal.meta['log_probs'])
        torch.testing.assert_close((log_probs[n, :len(old)] - old).exp(), torch.ones(len(old)), rtol=0, atol=1e-5)


def test_ppo_stops_pushing_a_ratio_that_left_the_clip_range():
    searcher = ReinforceSearcher(OneDecision(), entropy=0.0, clip=0.2)
    proposal, = drawn(searcher, 1)
    now = proposal.meta['log_probs'][0]
    for ratio, advantage, moves in [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, -1.0, False), (0.5, 1.0, True),
                                    (1.1, 1.0, True)]:
        searcher.controller.zero_grad()
        searcher.loss([Sample(proposal.tokens, (now - np.log(ratio),), advantage)]).backward()
        assert (searcher.controller.head.bias.grad.abs().max() > 1e-6) == moves, (ratio, advantage)


def test_masked_tokens_have_probability_zero_and_forced_decisions_are_certain():
    space = OneDecision()
    searcher = ReinforceSearcher(space, init=5.0)
    assert {p.tokens[0] for p in drawn(searcher, 300)} <= {0, 1, 3}
    log_probs, _ = searcher.controller([[(space.choices(()), token)] for token in range(4)])
    assert log_probs[2, 0] == -torch.inf
    torch.testing.assert_close(log_probs[[0, 1, 3], 0].exp().sum(), torch.tensor(1.0))

    toy = ReinforceSearcher(ToySpace(3), init=5.0)
    for proposal in drawn(toy, 50):
        forced = [choice.forced for choice, _ in toy.space.walk(proposal.tokens)]
        assert any(forced)
        assert all((log_prob == 0) == is_forced
                   for log_prob, is_forced in zip(proposal.meta['log_probs'], forced, strict=True))


def test_draws_follow_the_policy():
    searcher = ReinforceSearcher(OneDecision(), init=2.0)
    logits, _ = one_step(searcher.controller)
    policy = torch.softmax(logits[[0, 1, 3]], 0).numpy()
    tokens = [p.tokens[0] for p in drawn(searcher, 2000)]
    counts = np.array([tokens.count(token) for token in (0, 1, 3)])
    chi_square = ((counts - 2000 * policy) ** 2 / (2000 * policy)).sum()
    assert chi_square < 13.8        # the 0.999 quantile for two degrees of freedom


def test_baseline_and_penalties():
    searcher = ReinforceSearcher(OneDecision(), baseline=0.9, penalty=0.05)
    proposal, = drawn(searcher, 1)
    told = [Result('failed'), Result('ok', 0.5), Result('ok', 0.7), Result('refused'), Result('ok', 0.02)]
    for trial, result in enumerate(told):
        searcher.tell(trial, proposal, result)
    average = 0.9 * 0.5 + 0.1 * 0.7
    np.testing.assert_allclose([sample.advantage for sample in searcher.waiting],
                               [0.0, 0.0, 0.2, -0.05, 0.02 - average])
    assert searcher.average == pytest.approx(0.9 * average + 0.1 * 0.02)


def test_penalty_never_goes_below_zero():
    searcher = ReinforceSearcher(OneDecision(), penalty=0.05)
    proposal, = drawn(searcher, 1)
    searcher.tell(0, proposal, Result('ok', 0.01))
    searcher.tell(1, proposal, Result('failed'))
    assert searcher.waiting[1].advantage == pytest.approx(-0.01)


def test_penalty_of_a_minimised_metric():
    searcher = ReinforceSearcher(OneDecision(), penalty=0.05)
    proposal, = drawn(searcher, 1)
    searcher.tell(0, proposal, Result('ok', -3.0))
    searcher.tell(1, proposal, Result('failed'))
    assert searcher.waiting[1].advantage == pytest.approx(-0.05)


def test_a_late_sample_counts_with_its_importance_weight():
    searcher = ReinforceSearcher(OneDecision(), update='reinforce', entropy=0.0)
    proposal, = drawn(searcher, 1)
    now = proposal.meta['log_probs'][0]
    grads = []
    for old in (now, now - np.log(0.25), now - np.log(4.0)):
        searcher.controller.zero_grad()
        searcher.loss([Sample(proposal.tokens, (old,), 1.0)]).backward()
        grads.append(searcher.controller.head.bias.grad.clone())
    torch.testing.assert_close(grads[1], 0.25 * grads[0], rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(grads[2], grads[0], rtol=1e-4, atol=1e-8)


def test_minibatches_make_one_adam_step_each():
    searcher = ReinforceSearcher(OneDecision(), batch=10, minibatch=4, epochs=3)
    for trial, proposal in enumerate(drawn(searcher, 10)):
        searcher.tell(trial, proposal, Result('ok', trial / 10))
    steps = {state['step'].item() for state in searcher.optimizer.state.values()}
    assert steps == {9.0} and searcher.updates == 1 and not searcher.waiting


def final_proposals(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        searcher = ReinforceSearcher(ToySpace(8), batch=10)
        for trial in range(60):
            proposal = searcher.ask(trial, np.random.default_rng((3, trial)))
            searcher.tell(trial, proposal, Result('ok', planted_score(searcher.space, proposal.genotype, 0)))
        assert torch.get_num_threads() == threads
        return searcher.state_dict()
    finally:
        torch.set_num_threads(before)


def test_bits_do_not_depend_on_the_number_of_threads():
    assert final_proposals(1) == final_proposals(4)


def planted_run(make, goal, trials=300):
    space = ToySpace(10)
    searcher = make(space)
    rewards = []
    for trial in range(trials):
        proposal = searcher.ask(trial, np.random.default_rng((goal, trial)))
        searcher.asked(trial, proposal)
        rewards.append(planted_score(space, proposal.genotype, goal))
        searcher.tell(trial, proposal, Result('ok', rewards[-1]))
    return rewards


def test_a_planted_goal_is_learnt_in_300_proposals():
    goals = range(4)
    learnt = np.array([planted_run(ReinforceSearcher, goal) for goal in goals])
    random = np.array([planted_run(RandomSearcher, goal) for goal in goals])
    gain = learnt[:, -50:].mean(1) - random.mean(1)
    assert (gain > 5 * random.std(1) / np.sqrt(50)).all(), gain     # five standard errors of a mean of 50 random ones
    assert learnt.max(1).mean() > random.max(1).mean()


def test_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match='update must be one of'):
        ReinforceSearcher(OneDecision(), update='a2c')
    with pytest.raises(ValueError, match='at least 1'):
        ReinforceSearcher(OneDecision(), minibatch=0)
    for wrong in (dict(baseline=1.0), dict(clip=0)):
        with pytest.raises(ValueError, match='baseline is a decay from 0 to below 1, and clip above 0'):
            ReinforceSearcher(OneDecision(), **wrong)


def test_a_proposal_of_another_searcher_is_refused():
    searcher = ReinforceSearcher(OneDecision())
    with pytest.raises(ValueError, match='log_probs'):
        searcher.tell(0, Proposal(searcher.space.decode((0,)), (0,)), Result('ok', 0.5))
