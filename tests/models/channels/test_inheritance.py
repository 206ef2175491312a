"""Weights carried over to narrower and wider networks."""

import pytest
import torch

from nasdet.genotype import Genotype
from nasdet.models.channels import choose_origin, inherit_weights, slice_channels, trace_channels
from nasdet.spaces import WidthSpace
from tests.models.channels.networks import build, draw_alive, run, small

SHAPE = (3, 64, 64)


def inherited(model, network, genotype, importance):
    space = WidthSpace(model, SHAPE)
    target = build(space.apply(genotype, model))
    graph = trace_channels(target, SHAPE)
    inherit_weights(target, graph, network, space.channels, choose_origin(graph, space.channels, importance))
    return target


@pytest.mark.parametrize('name', ['fcos', 'mask_rcnn', 'nas_fpn'])
def test_a_narrower_network_is_the_slice_of_the_most_important_channels(name):
    model = small(name)
    space, network = WidthSpace(model, SHAPE), build(model)
    alive = draw_alive(space.channels, 4)
    widths = {key: int(alive[group.channels].sum()) * group.step for key, group in space.groups.items()}
    target = inherited(model, network, Genotype('WidthSpace', dict(widths=widths)), alive.float())
    slice_channels(network, space.channels, alive)
    ours, expected = target.state_dict(), network.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in ours.items())


@pytest.mark.parametrize('name', ['fcos', 'mask_rcnn'])
def test_a_wider_network_computes_what_the_narrower_one_did(name):
    model = small(name)
    space, network = WidthSpace(model, SHAPE), build(model)
    widths = {key: (group.size + 1 + index % 3) * group.step
              for index, (key, group) in enumerate(space.groups.items())}
    target = inherited(model, network, Genotype('WidthSpace', dict(widths=widths)), torch.ones(10 ** 5))
    image = torch.randn(1, *SHAPE)
    for wide, narrow in zip(run(target, image), run(network, image), strict=True):
        wide = wide if wide.shape == narrow.shape else wide[:, :narrow.shape[1]]     # a map of the neck
        torch.testing.assert_close(wide, narrow, rtol=1e-4, atol=1e-5)
