"""MorphNet's cost and penalty, against figures computed by hand."""

import pytest
import torch
from torch import nn

from nasdet.models.channels import Resource, trace_channels
from nasdet.training.importance import Importance
from tests.models.channels.networks import SpecifiedNetwork, inner, toy


class Residual(nn.Module):
    """A layer whose input and output are added, and so are of one group."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a, self.b, self.bn_b = (nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1),
                                                nn.BatchNorm2d(4))
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, image):
        x = self.bn_a(self.a(image))
        return self.out(x + self.bn_b(self.b(x)))


def test_cost_and_penalty_of_the_specified_network():
    """FLOPs, two a multiply-add: 985,404 and 1,410,376.375, as the authors' own test prints them."""
    network = SpecifiedNetwork()
    graph = trace_channels(network, (3, 17, 19), forward=inner)
    resource, measure = Resource(graph), Importance(network, graph, gamma_threshold=0.45)
    importance = measure()
    alive = measure.alive(importance)
    assert set(measure.kinds.values()) == {'gamma'}
    assert {name: 2 * layer.macs for name, layer in graph.layers.items() if layer.macs} == dict(
        conv1=22610, conv2=646, conv3=1620, conv4=646)
    assert 2 * resource.cost(alive) == 985404
    assert 2 * resource.penalty(importance, alive).item() == pytest.approx(1410376.375, abs=0.2)
    assert 2 * resource.penalty(importance.double(), alive).item() == pytest.approx(1410376.4, abs=0.05)


def test_parameters_of_the_specified_network():
    graph = trace_channels(SpecifiedNetwork(), (3, 17, 19), forward=inner)
    weights = 35 * 3 * 13 + 3 * 23 + 9 * 36 * 29 + 36 * 31
    assert Resource(graph, 'params').cost(graph.all_alive()) == weights


def test_penalty_of_ones_is_twice_the_cost():
    graph = trace_channels(SpecifiedNetwork(), (3, 17, 19), forward=inner)
    resource = Resource(graph)
    ones = torch.ones(graph.num_channels, dtype=torch.float64)
    assert resource.penalty(ones, graph.all_alive()) == 2 * resource.cost(graph.all_alive())


def test_the_slope_of_the_penalty_is_what_a_channel_costs():
    """In a network where no layer reads and writes channels of one group."""
    network = toy()
    graph = trace_channels(network, (3, 12, 12))
    resource, alive = Resource(graph), graph.all_alive()
    importance = torch.ones(graph.num_channels, dtype=torch.float64, requires_grad=True)
    resource.penalty(importance, alive).backward()
    for group in ('0', '5'):
        for number in graph.groups[group].channels.tolist():
            without = alive.clone()
            without[number] = False
            saved = resource.cost(alive) - resource.cost(without)
            depthwise = graph.layers['3'].macs if group == '0' else 0       # counted at its input and at its output
            assert importance.grad[number] == saved + depthwise


def test_a_layer_within_one_group_counts_a_channel_once_too_often():
    """Removing one of n channels takes 2 n - 1 of the layer's n * n pairs away, and its slope is 2 n."""
    graph = trace_channels(Residual(), (3, 4, 4))
    resource, alive = Resource(graph), graph.all_alive()
    importance = torch.ones(graph.num_channels, dtype=torch.float64, requires_grad=True)
    resource.penalty(importance, alive).backward()
    number = graph.layers['b'].outputs[1]
    without = alive.clone()
    without[number] = False
    assert importance.grad[number] == resource.cost(alive) - resource.cost(without) + graph.layers['b'].macs


def test_a_producer_without_batch_norm_is_measured_by_its_weights():
    network = toy()
    graph = trace_channels(network, (3, 12, 12))
    measure = Importance(network, graph)
    assert measure.kinds == {'0': 'gamma', '5': 'lasso'}
    importance = measure()
    assert torch.allclose(importance[graph.layers['5'].outputs], network[5].weight.square().mean((1, 2, 3)).sqrt())
    assert importance[0] == 0       # what is fixed
    with torch.no_grad():
        network[5].weight[2] = 0
        network[1].weight[:] = 0.001
    importance = measure()
    alive = measure.alive(importance)
    assert not alive[graph.layers['5'].outputs[2]]
    assert alive[graph.layers['0'].outputs].sum() == 1      # the group keeps its largest
    (gradient,) = torch.autograd.grad(importance.sum(), [network[5].weight])
    assert gradient.isfinite().all()


def test_small_weights_are_no_sign_of_a_dead_channel_where_all_start_small():
    """As in MMDetection's RPN, whose weights are drawn with a standard deviation of 0.01."""
    network = toy()
    nn.init.normal_(network[5].weight, std=0.01)
    graph = trace_channels(network, (3, 12, 12))
    measure = Importance(network, graph)
    start = measure()[graph.groups['5'].channels].mean().item()
    assert start < 0.015 and measure.starts == {'5': pytest.approx(start)}
    assert measure.alive(measure()).all()
    with torch.no_grad():
        network[5].weight[:2] *= torch.tensor([0.2, 0.02])[:, None, None, None]
    assert measure.alive(measure())[graph.layers['5'].outputs].tolist() == [True, False, True, True, True]
    resumed = Importance(network, graph, starts=measure.starts)
    assert torch.equal(resumed.thresholds, measure.thresholds)
    assert not torch.equal(Importance(network, graph).thresholds, measure.thresholds)


def test_of_equal_channels_that_are_all_dead_one_stays():
    network = toy()
    nn.init.zeros_(network[1].weight)
    graph = trace_channels(network, (3, 12, 12))
    measure = Importance(network, graph)
    assert measure.alive(measure())[graph.layers['0'].outputs].tolist() == [True, *[False] * 5]


def test_the_largest_of_tied_channels_counts():
    network = Residual()
    network.bn_a.weight.data = torch.tensor([0.5, 0.001, -0.2, 0.3])
    network.bn_b.weight.data = torch.tensor([0.1, 0.002, 0.4, -0.3])
    graph = trace_channels(network, (3, 4, 4))
    measure = Importance(network, graph)
    importance = measure()
    channels = graph.layers['a'].outputs
    assert importance[channels].tolist() == pytest.approx([0.5, 0.002, 0.4, 0.3])
    assert measure.alive(importance)[channels].tolist() == [True, False, True, True]
    importance.sum().backward()
    assert network.bn_a.weight.grad.tolist() == [1, 0, 0, 0.5]
    assert network.bn_b.weight.grad.tolist() == [0, 1, 1, -0.5]


def test_a_frozen_layer_is_alive_whatever_its_gamma():
    network = toy()
    network[1].weight.data.zero_()
    network[1].weight.requires_grad = False
    graph = trace_channels(network, (3, 12, 12))
    measure = Importance(network, graph)
    assert measure.kinds['0'] == 'frozen'
    assert measure.alive(measure())[graph.layers['0'].outputs].all()


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match='MorphNet knows the targets macs, params, activations, latency, not'):
        Resource(trace_channels(toy(), (3, 12, 12)), 'watts')
