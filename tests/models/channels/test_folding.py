"""What dead channels contribute is a constant, and does not get lost when they are removed."""

import copy

import pytest
import torch
from torch import Tensor, nn

from nasdet.models.channels import ChannelGraph, fold_channels, slice_channels, trace_channels
from tests.models.channels.networks import build, run, small

SHAPE = (3, 12, 12)


def trained(network: nn.Module) -> nn.Module:
    """Return a network as after a training, in double precision and evaluation mode."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            for tensor in (module.weight, module.bias, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return network.double().eval()


def graph_of(network: nn.Module, shape=SHAPE) -> ChannelGraph:
    return trace_channels(copy.deepcopy(network).float(), shape)


def half_of(graph: ChannelGraph) -> Tensor:
    """Return channels of which each second of a group is dead."""
    alive = graph.all_alive()
    for group in graph.groups.values():
        alive[group.channels[1::2]] = False
    return alive


@torch.no_grad()
def three_ways(network: nn.Module, alive, image) -> tuple:
    """Return the outputs with the dead gammas at zero, sliced with their constants folded, and sliced without."""
    graph = graph_of(network)
    silent, folded, sliced = network, copy.deepcopy(network), copy.deepcopy(network)
    for name, layer in graph.layers.items():
        if layer.follows and graph.layers[layer.follows].kind == 'dense':
            silent.get_submodule(name).weight[~alive[layer.outputs]] = 0
    assert fold_channels(folded, graph, alive, SHAPE) == []
    for one in (folded, sliced):
        slice_channels(one, graph, alive)
    return silent(image), folded(image), sliced(image)


class Residual(nn.Module):
    """A sum of two layers between a layer that both read and one that reads both."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(6, 6, 1, bias=False), nn.BatchNorm2d(6))
        self.out = nn.Conv2d(6, 4, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.out(nn.functional.max_pool2d((x + self.inner(x)).relu(), 3, padding=1))


@pytest.mark.parametrize('network', [
    nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1, bias=False),
                  nn.BatchNorm2d(6), nn.SiLU(), nn.Conv2d(6, 4, 1)),
    nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                  nn.Linear(32, 4)),
    Residual()], ids=['1 x 1', 'linear', 'sum'])
def test_behind_the_constant_it_is_exact_where_nothing_is_padded(network):
    network, image = trained(network), torch.randn(2, *SHAPE, dtype=torch.float64)
    alive = half_of(graph_of(network))
    silent, folded, sliced = three_ways(network, alive, image)
    torch.testing.assert_close(folded, silent, rtol=1e-10, atol=1e-10)
    assert (sliced - silent).abs().mean() > 0.01


def test_a_padded_convolution_gets_what_is_right_in_the_interior():
    network = trained(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(),
                                    nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                                    nn.Conv2d(6, 4, 5, padding=2)))
    image = torch.randn(2, *SHAPE, dtype=torch.float64)
    silent, folded, sliced = three_ways(network, half_of(graph_of(network)), image)
    torch.testing.assert_close(folded[..., 3:-3, 3:-3], silent[..., 3:-3, 3:-3], rtol=1e-10, atol=1e-10)
    assert 0 < (folded - silent).abs().mean() < 0.5 * (sliced - silent).abs().mean()


def test_behind_a_padded_depthwise_convolution_the_interior_counts():
    network = trained(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(),
                                    nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU(),
                                    nn.Conv2d(8, 4, 1)))
    image = torch.randn(2, *SHAPE, dtype=torch.float64)
    silent, folded, _ = three_ways(network, half_of(graph_of(network)), image)
    torch.testing.assert_close(folded[..., 1:-1, 1:-1], silent[..., 1:-1, 1:-1], rtol=1e-10, atol=1e-10)


def test_without_batch_norm_the_bias_is_the_constant():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).double()
    graph, folded = graph_of(network), copy.deepcopy(network)
    alive = half_of(graph)
    image = torch.randn(2, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        network[0].weight[~alive[graph.layers['0'].outputs]] = 0
    assert fold_channels(folded, graph, alive, SHAPE) == []
    torch.testing.assert_close(folded(image), network(image))       # also before it is sliced
    slice_channels(folded, graph, alive)
    torch.testing.assert_close(folded(image), network(image))


class Gated(nn.Module):
    """Channels that all have the weight that the whole image gives them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)
        self.gate, self.last = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        return self.last(x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())


class Shared(nn.Module):
    """A layer that reads two maps."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.last(self.first(x).relu()), self.last(self.second(x).relu())


@pytest.mark.parametrize('network', [Gated(), Shared()], ids=['images', 'maps'])
def test_what_is_no_constant_is_not_folded_and_said(network):
    network = trained(network)
    for layer in (network.first, getattr(network, 'second', network.first)):
        nn.init.uniform_(layer.bias, 0.5, 1.5)      # not cut off by ReLU
    graph = graph_of(network)
    alive, before = half_of(graph), copy.deepcopy(network.last.state_dict())
    dead = int((~alive[graph.layers['last'].inputs]).sum())
    problems = fold_channels(network, graph, alive, SHAPE)
    assert f'last: {dead} of its {dead} dead inputs are not the same for all images and maps' in problems
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.last.state_dict().items())


def test_a_layer_that_cannot_take_a_constant_is_named():
    network = trained(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1, bias=False),
                                    nn.ConvTranspose2d(5, 4, 2, stride=2)))
    graph = graph_of(network)
    alive = half_of(graph)
    assert fold_channels(network, graph, alive, SHAPE) == ['2: it has neither a bias nor a batch norm behind it']
    network[2].bias = nn.Parameter(torch.ones(5).double())
    assert fold_channels(network, graph, alive, SHAPE) == [
        '3: a transposed convolution makes of a constant other values at other positions']


@pytest.mark.parametrize('name', ['retinanet', 'faster_rcnn'])
def test_a_detector_is_nearer_to_itself_with_folding_than_without(name):
    """At borders the constant is only nearly right, so the maps are large."""
    network = build(small(name)).double()
    graph = graph_of(network, (3, 64, 64))
    alive = half_of(graph)
    folded, sliced = copy.deepcopy(network), copy.deepcopy(network)
    assert fold_channels(folded, graph, alive, (3, 64, 64)) == []
    for one in (folded, sliced):
        slice_channels(one, graph, alive)
    with torch.no_grad():
        for layer in (layer for layer in graph.layers.values() if layer.kind == 'dense'):
            norm = next((each for each in graph.layers.values() if each.follows == layer.name), None)
            network.get_submodule((norm or layer).name).weight[~alive[layer.outputs]] = 0
    image = torch.randn(1, 3, 256, 256, dtype=torch.float64)
    errors = [[(a - b).abs().mean() for a, b in zip(run(one, image), run(network, image), strict=True)
               if a.shape == b.shape] for one in (folded, sliced)]
    assert len(errors[0]) >= 10
    assert sum(errors[0]) < 0.8 * sum(errors[1])


@pytest.mark.parametrize('name, reader', [('retinanet', 'bbox_head.cls_convs.0.conv'),
                                          ('faster_rcnn', 'rpn_head.rpn_conv')])
def test_a_head_is_named_behind_a_pyramid_whose_levels_have_other_biases(name, reader):
    network = build(small(name)).double()
    for conv in network.neck.fpn_convs:
        nn.init.uniform_(conv.conv.bias, -0.5, 0.5)
    graph = graph_of(network, (3, 64, 64))
    problems = fold_channels(network, graph, half_of(graph), (3, 64, 64))
    assert f'{reader}: 8 of its 8 dead inputs are not the same for all images and maps' in problems
    assert {problem.partition('.')[0] for problem in problems} == {reader.partition('.')[0]}
