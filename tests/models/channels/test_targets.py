"""What a network costs by each target, against closed forms and against a counter of what torch really runs."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nasdet.models.channels import Resource, slice_channels, trace_channels
from tests.models.channels.networks import SpecifiedNetwork, build, draw_alive, inner, run, small, toy

T4 = dict(type='latency', peak=8.1e12, bandwidth=300e9)
COMPUTE_BOUND, MEMORY_BOUND = (dict(type='latency', peak=peak, bandwidth=bandwidth)
                               for peak, bandwidth in ((1e9, 1e20), (1e20, 1e9)))
TARGETS = ['macs', 'params', 'activations', T4]


def specified():
    """Return the resource, the importance and the alive channels of the specified network, at a threshold of 0.45."""
    network = SpecifiedNetwork()
    graph = trace_channels(network, (3, 17, 19), forward=inner)
    importance = torch.zeros(graph.num_channels, dtype=torch.float64)
    for number in '1234':
        gammas = network.get_submodule(f'bn{number}').weight.detach().double().abs()
        importance[graph.layers[f'conv{number}'].outputs] = gammas
    alive = importance > 0.45
    alive[0] = True
    return graph, importance, alive


def test_activations_of_the_specified_network():
    graph, importance, alive = specified()
    resource = Resource(graph, 'activations')
    assert resource.cost(graph.all_alive()) == 323 * (13 + 23 + 31) + 90 * 29
    assert resource.cost(alive) == 323 * (7 + 11 + 17) + 90 * 10
    assert resource.penalty(importance, alive).item() == pytest.approx(323 * (6.8 + 8.9 + 14.1) + 90 * 11.7)


def test_latency_of_the_specified_network():
    """On a T4 the first layer computes longer than it moves; all others, and all norms, move longer."""
    graph, importance, alive = specified()
    resource = Resource(graph, T4)

    def seconds(a, b, c, d):
        """Of a, b, c, d outputs of the four layers."""
        both, size = a + b, 323
        moved = [size * (3 + b) + 3 * b, size * both + 90 * c + 9 * both * c, size * (both + d) + both * d,
                 2 * size * (a + b + d) + 2 * 90 * c + 2 * (a + b + c + d), 2 * size * both]    # the last: joining
        computed = 2 * 35 * size * 3 * a
        assert computed / T4['peak'] > 4 * (size * (3 + a) + 35 * 3 * a) / T4['bandwidth']
        return computed / T4['peak'] + 4 * sum(moved) / T4['bandwidth']

    assert resource.cost(graph.all_alive()) == pytest.approx(seconds(13, 23, 29, 31), rel=1e-12)
    assert resource.cost(alive) == pytest.approx(seconds(7, 11, 10, 17), rel=1e-12)
    r_a, r_b, r_c, r_d = 6.8, 8.9, 11.7, 14.1
    r_both, size = r_a + r_b, 323
    moved = [size * r_b + 3 * r_b, size * r_both + 90 * r_c + 9 * (18 * r_c + 10 * r_both),
             size * (r_both + r_d) + 18 * r_d + 17 * r_both,
             2 * size * (r_a + r_b + r_d) + 2 * 90 * r_c + 2 * (r_a + r_b + r_c + r_d), 2 * size * r_both]
    expected = 2 * 35 * size * 3 * r_a / T4['peak'] + 4 * sum(moved) / T4['bandwidth']
    assert resource.penalty(importance, alive).item() == pytest.approx(expected, rel=1e-6)      # gammas are float32


class Counter(TorchDispatchMode):
    """Counts what torch's kernels are given: activations, and seconds on a device."""

    def __init__(self, peak, bandwidth, **_):
        super().__init__()
        self.peak, self.bandwidth = peak, bandwidth
        self.activations, self.seconds = 0, 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        output = result[0] if isinstance(result, tuple) else result
        moved, computed = output.numel(), 0
        if name == 'convolution':
            moved += args[0].numel() + args[1].numel()
            computed = 2 * output.numel() * args[1][0].numel()
            self.activations += output.numel()
        elif name == 'native_batch_norm':
            moved += args[0].numel() + 2 * args[1].numel()
        elif name in ('relu', 'relu_', 'add', 'add_', 'max_pool2d_with_indices', 'upsample_nearest2d'):
            moved += sum(value.numel() for value in args if isinstance(value, torch.Tensor))
        else:
            assert name in ('detach', 'empty'), f'{name} is not counted'
            moved = 0
        self.seconds += max(computed / self.peak, 4 * moved / self.bandwidth)
        return result


@pytest.mark.parametrize('seed', [None, 0, 1, 2])
def test_the_cost_is_what_a_counter_of_kernels_counts(seed):
    """Of a RetinaNet, and of three slices of it; its head's layers run at five levels, each with its own bound."""
    network = build(small('retinanet'))
    graph = trace_channels(network, (3, 64, 64))
    alive = graph.all_alive() if seed is None else draw_alive(graph, seed)
    slice_channels(network, graph, alive)
    counter, image = Counter(**T4), torch.zeros(1, 3, 64, 64)
    with counter:
        run(network, image)
    assert Resource(graph, 'activations').cost(alive) == counter.activations
    assert Resource(graph, T4).cost(alive) == pytest.approx(counter.seconds, rel=1e-9)


@pytest.mark.parametrize('target', [*TARGETS, COMPUTE_BOUND, MEMORY_BOUND], ids=str)
def test_the_slope_of_the_penalty_is_what_a_channel_costs(target):
    """In a network where no layer reads and writes channels of one group.

    Where pairs are counted, a depthwise convolution is counted at its input and at its output.
    """
    graph = trace_channels(toy(), (3, 12, 12))
    resource, alive = Resource(graph, target), graph.all_alive()
    importance = torch.ones(graph.num_channels, dtype=torch.float64, requires_grad=True)
    resource.penalty(importance, alive).backward()
    twice = dict(macs=graph.layers['3'].macs, params=graph.layers['3'].weights)
    if target == COMPUTE_BOUND:
        twice = dict(latency=2 * graph.layers['3'].macs / target['peak'])
    name = target if isinstance(target, str) else target['type']
    for group in ('0', '5'):
        for number in graph.groups[group].channels.tolist():
            without = alive.clone()
            without[number] = False
            saved = resource.cost(alive) - resource.cost(without)
            expected = saved + (twice.get(name, 0) if group == '0' else 0)
            assert importance.grad[number].item() == pytest.approx(expected, rel=1e-9)


def test_regions_are_counted_as_often_as_the_detector_tests_them():
    model = small('mask_rcnn')
    model.test_cfg.rpn.max_per_img, model.test_cfg.rcnn.max_per_img = 30, 7
    network = build(model)
    graph = trace_channels(network, (3, 64, 64))
    boxes, masks = (graph.layers[f'roi_head.{name}'] for name in ('bbox_head.shared_fcs.1', 'mask_head.convs.1.conv'))
    assert (boxes.macs, boxes.calls[0].read) == (30, 30)
    assert masks.macs == 7 * 14 * 14 * 9
    assert graph.layers['roi_head.bbox_roi_extractor'].calls[0].written == 30 * 7 * 7
    # ReLU in place: behind a layer for boxes it reads and writes each channel once a region
    assert set(graph.traffic[boxes.outputs].tolist()) == {2.0 * 30}


@pytest.mark.parametrize('target, words', [
    ('watts', 'MorphNet knows the targets macs, params, activations, latency, not'),
    ('latency', "give it a device's figures"), (dict(type='latency', peak=1.0, watts=3), "give it a device's figures")])
def test_a_wrong_target_is_refused(target, words):
    with pytest.raises(ValueError, match=words):
        Resource(trace_channels(toy(), (3, 12, 12)), target)
