"""A sliced network computes what the whole one computes with the other channels at zero."""

import pytest
import torch
from torch import nn

from nasdet.models.channels import layer_widths, set_widths, silence_channels, slice_channels, trace_channels
from tests.models.channels.networks import build, draw_alive, run, small


@pytest.mark.parametrize('name', ['retinanet', 'fcos', 'faster_rcnn', 'mask_rcnn', 'nas_fpn'])
def test_a_slice_equals_the_network_with_silent_channels(name):
    torch.manual_seed(1)
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    whole, sliced = build(small(name)), build(small(name))
    graph = trace_channels(whole, (3, 64, 64))
    alive = draw_alive(graph, 0)
    before = run(whole.double(), image)
    silence_channels(whole, graph, alive)
    slice_channels(sliced.double(), graph, alive)
    expected, outputs = run(whole, image), run(sliced, image)
    neck = alive[graph.layers[{'nas_fpn': 'neck.stacks.1.0.conv'}.get(name, 'neck.fpn_convs.0.conv')].outputs]
    expected, before = ([a if a.shape == b.shape else a[:, neck] for a, b in zip(side, outputs, strict=True)]
                        for side in (expected, before))     # the first outputs are the maps of the neck
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
    assert sum(not torch.allclose(a, b, rtol=1e-2) for a, b in zip(before, expected, strict=True)) >= len(before) // 2
    assert sum(p.numel() for p in sliced.parameters()) < 0.5 * sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize('name', ['fcos', 'mask_rcnn'])
def test_a_network_built_with_the_table_of_widths_takes_the_slice(name):
    sliced, narrow = build(small(name)), build(small(name))
    graph = trace_channels(sliced, (3, 64, 64))
    alive = draw_alive(graph, 3)
    widths = {group.name: int(alive[group.channels].sum()) for group in graph.groups.values()}
    slice_channels(sliced, graph, alive)
    for layer, sizes in layer_widths(graph, widths).items():
        set_widths(narrow.get_submodule(layer), sizes)
    narrow.load_state_dict(sliced.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 64)
    for a, b in zip(run(sliced, image), run(narrow, image), strict=True):
        assert torch.equal(a, b)


def test_a_depthwise_and_a_transposed_convolution_are_sliced():
    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 12, 3, groups=6), nn.Conv2d(12, 5, 1),
                             nn.ConvTranspose2d(5, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()

    whole, sliced = network(), network()
    graph = trace_channels(whole, (3, 12, 12))
    alive = draw_alive(graph, 1)
    silence_channels(whole, graph, alive)
    slice_channels(sliced, graph, alive)
    image = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(sliced.double()(image), whole.double()(image))
    assert sliced[1].groups == int(alive[graph.layers['0'].outputs].sum()) < 6


def test_wrong_widths_are_refused():
    graph = trace_channels(nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)), (3, 4, 4))
    assert layer_widths(graph, {'0': 9}) == {'0': [3, 9], '1': [9, 2]}
    with pytest.raises(ValueError, match="no group of channels 'neck'"):
        layer_widths(graph, dict(neck=3))
    with pytest.raises(ValueError, match='0 has width 0: a group keeps at least one channel'):
        layer_widths(graph, {'0': 0})
    with pytest.raises(ValueError, match='a ReLU cannot be given another width'):
        set_widths(nn.ReLU(), [3, 2])


def test_a_layer_keeps_a_channel():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1))
    graph = trace_channels(network, (3, 4, 4))
    alive = graph.all_alive()
    alive[graph.groups['0'].channels] = False
    with pytest.raises(ValueError, match='0 would lose all its channels'):
        slice_channels(network, graph, alive)
