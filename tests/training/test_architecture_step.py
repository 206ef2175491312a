"""The architecture's gradient: in closed form, and against differentiating through the weights' step."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from nasdet.training import architecture_step
from nasdet.training.architecture_step import check_virtual_step, first_order, restored, second_order


@pytest.mark.parametrize('w, a, rate', [(0.3, -0.7, 0.1), (2.0, 0.5, 0.025), (-1.5, 3.0, 0.5)])
def test_a_toy_with_a_closed_form(w, a, rate):
    """L_train = (w - a)^2 / 2 and L_val = (w - 1)^2 / 2: the gradient is xi (w - xi (w - a) - 1), of first order 0."""
    weight = nn.Parameter(torch.tensor(w, dtype=torch.float64))
    alpha = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def training_loss():
        return (weight - alpha).square() / 2

    def validation_loss():
        return (weight - 1).square() / 2

    optimizer = torch.optim.SGD([weight], lr=rate)
    loss, (gradient,) = second_order(training_loss, validation_loss, [alpha], optimizer)
    stepped = w - rate * (w - a)
    assert abs(gradient.item() - rate * (stepped - 1)) < 1e-9 and abs(gradient.item()) > 1e-3
    assert abs(loss.item() - (stepped - 1) ** 2 / 2) < 1e-12
    loss, (gradient,) = first_order(validation_loss, [alpha])
    assert gradient.item() == 0 and loss.item() == pytest.approx((w - 1) ** 2 / 2)
    assert weight.item() == w and not optimizer.state


class SmoothMixture(nn.Module):
    """A mixture of two layers, normalised and without kinks, so that finite differences may be compared."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.layers = nn.ModuleList(nn.Linear(5, 5) for _ in range(2))
        self.norm = nn.BatchNorm1d(5, affine=False)
        self.last = nn.Linear(5, 1)
        self.alphas = nn.ParameterDict(dict(normal=nn.Parameter(torch.randn(2))))

    def forward(self, x):
        x = torch.tanh(self.first(x))
        weights = self.alphas.normal.softmax(dim=0)
        x = self.norm(weights[0] * torch.tanh(self.layers[0](x)) + weights[1] * torch.sigmoid(self.layers[1](x)))
        return self.last(x)


class Problem:
    """The mixture after two steps of SGD with momentum and decay, and two batches."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = SmoothMixture().double().train()
        self.alphas = list(self.model.alphas.values())
        named = [(name, weight) for name, weight in self.model.named_parameters() if not name.startswith('alphas')]
        self.weights = dict(named)
        decayed = [weight for name, weight in named if name.endswith('weight')]
        others = [weight for name, weight in named if not name.endswith('weight')]
        self.optimizer = torch.optim.SGD([dict(params=decayed, weight_decay=0.1), dict(params=others)], lr=0.2,
                                         momentum=0.9)
        self.batches = [(torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64))
                        for _ in range(2)]
        for _ in range(2):
            self.training_loss().backward()
            self.optimizer.step()
            self.model.zero_grad()

    def loss(self, number, weights=None):
        inputs, targets = self.batches[number]
        outputs = self.model(inputs) if weights is None else functional_call(self.model, weights, (inputs,))
        return (outputs - targets).square().mean()

    def training_loss(self):
        return self.loss(0)

    def validation_loss(self):
        return self.loss(1)

    def analytic(self):
        """Return the architecture's gradient through a step that is part of the graph."""
        decay = {weight: group['weight_decay'] for group in self.optimizer.param_groups for weight in group['params']}
        gradients = torch.autograd.grad(self.training_loss(), self.weights.values(), create_graph=True)
        stepped = {}
        for (name, weight), gradient in zip(self.weights.items(), gradients, strict=True):
            buffer = self.optimizer.state[weight]['momentum_buffer']
            stepped[name] = weight - 0.2 * (0.9 * buffer + gradient + decay[weight] * weight)
        return torch.autograd.grad(self.loss(1, stepped), self.alphas)

    def estimated(self):
        return second_order(self.training_loss, self.validation_loss, self.alphas, self.optimizer)[1]


def test_second_order_is_the_gradient_through_a_step_with_momentum_and_decay(monkeypatch):
    problem = Problem()
    (expected,), (plain,) = problem.analytic(), first_order(problem.validation_loss, problem.alphas)[1]
    size = expected.abs().max()
    assert (expected - plain).abs().max() > 0.1 * size      # else first order would do
    (coarse,) = problem.estimated()
    assert (coarse - expected).abs().max() < 1e-3 * size
    monkeypatch.setattr(architecture_step, 'PERTURBATION', 1e-4)
    (fine,) = problem.estimated()
    assert (fine - expected).abs().max() < 1e-7 * size


def test_weights_momentum_and_buffers_are_left_bit_for_bit():
    problem = Problem()

    def everything():
        momenta = [problem.optimizer.state[weight]['momentum_buffer'] for weight in problem.weights.values()]
        return [tensor.clone() for tensor in (*problem.model.state_dict().values(), *momenta)]

    before = everything()
    with restored(problem.model.buffers()):
        problem.estimated()
        assert not all(torch.equal(a, b) for a, b in zip(before, everything(), strict=True))    # statistics
    assert all(torch.equal(a, b) for a, b in zip(before, everything(), strict=True))
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_weights_are_put_back_where_a_loss_fails():
    problem = Problem()
    before = {name: weight.detach().clone() for name, weight in problem.weights.items()}

    def fails():
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        second_order(problem.training_loss, fails, problem.alphas, problem.optimizer)
    assert all(torch.equal(before[name], weight) for name, weight in problem.weights.items())


def test_a_validation_loss_without_weights_has_its_own_gradient_alone():
    weight, alpha = nn.Parameter(torch.ones(2)), nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    _, (gradient,) = second_order(lambda: (alpha * weight).sum(), lambda: alpha ** 2, [alpha], optimizer)
    assert gradient.item() == 4


@pytest.mark.parametrize('optimizer', [
    torch.optim.Adam([nn.Parameter(torch.ones(1))]),
    torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9, nesterov=True),
    torch.optim.SGD([dict(params=[nn.Parameter(torch.ones(1))], lr=lr) for lr in (0.1, 0.2)], lr=0.1)])
def test_refuses_steps_that_it_does_not_differentiate(optimizer):
    with pytest.raises(ValueError, match='SGD with one learning rate'):
        check_virtual_step(optimizer)
