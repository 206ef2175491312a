"""Which channels belong together, against what a person derives from the networks' drawings."""

import pytest
import torch
from torch import nn

from nasdet import zoo
from nasdet.costs.complexity import count
from nasdet.models.channels import layer_widths, set_widths, slice_channels, trace_channels
from nasdet.models.meta import build_on_meta, run_on_meta
from tests.models.channels.networks import build, config, draw_alive, small


@pytest.fixture(scope='module')
def graphs() -> dict:
    """The graphs of MMDetection's detectors in their full width."""
    return {name: trace_channels(build_on_meta(config(name)), (3, 256, 256))
            for name in ('retinanet', 'fcos', 'mask_rcnn', 'nas_fpn')}


def members(graph, layer: str) -> tuple[set, set]:
    group = graph.group_of(layer)
    return set(group.producers), set(group.consumers)


def test_each_stage_of_a_resnet_has_one_width_and_each_block_two_of_its_own(graphs):
    graph = graphs['retinanet']
    for stage, (blocks, width) in enumerate([(3, 256), (4, 512), (6, 1024), (3, 2048)], start=1):
        name = f'backbone.layer{stage}'
        residual = graph.group_of(f'{name}.0.conv3')
        assert residual.size == width
        assert set(residual.producers) == {f'{name}.0.downsample.0', *(f'{name}.{b}.conv3' for b in range(blocks))}
        assert set(residual.passes) == {f'{name}.0.downsample.1', *(f'{name}.{b}.bn3' for b in range(blocks))}
        for block in range(blocks):
            for inner in (1, 2):
                group = graph.group_of(f'{name}.{block}.conv{inner}')
                assert group.producers == (f'{name}.{block}.conv{inner}',)
                assert group.consumers == (f'{name}.{block}.conv{inner + 1}',)
                assert group.size == width // 4
    assert members(graph, 'backbone.conv1') == (
        {'backbone.conv1'}, {'backbone.layer1.0.conv1', 'backbone.layer1.0.downsample.0'})
    assert len(graph.groups) == 1 + 4 + 2 * 16 + 2 + 2 * 4      # stem, stages, blocks, pyramid, towers


def test_a_pyramid_has_one_width_inside_and_one_outside(graphs):
    graph = graphs['retinanet']
    laterals = {f'neck.lateral_convs.{level}.conv' for level in range(3)}
    assert members(graph, 'neck.lateral_convs.0.conv') == (
        laterals, {f'neck.fpn_convs.{level}.conv' for level in range(3)})
    producers, consumers = members(graph, 'neck.fpn_convs.0.conv')
    assert producers == {f'neck.fpn_convs.{level}.conv' for level in range(5)}
    assert consumers == {'neck.fpn_convs.4.conv', 'bbox_head.cls_convs.0.conv', 'bbox_head.reg_convs.0.conv'}


def test_a_head_shared_by_the_levels_has_one_width_a_layer_and_fixed_outputs(graphs):
    graph = graphs['retinanet']
    for tower, last in (('cls', 'retina_cls'), ('reg', 'retina_reg')):
        readers = [*(f'bbox_head.{tower}_convs.{depth}.conv' for depth in range(1, 4)), f'bbox_head.{last}']
        for depth, reader in enumerate(readers):
            assert members(graph, f'bbox_head.{tower}_convs.{depth}.conv') == (
                {f'bbox_head.{tower}_convs.{depth}.conv'}, {reader})
        assert not graph.layers[f'bbox_head.{last}'].outputs.any()      # number 0: fixed
        assert len(graph.layers[f'bbox_head.{last}'].calls) == 5
    positions = sum((256 // stride) ** 2 for stride in (8, 16, 32, 64, 128))
    assert graph.layers['bbox_head.cls_convs.0.conv'].macs == 9 * positions


def test_channels_of_one_group_of_a_group_norm_live_and_die_together(graphs):
    graph = graphs['fcos']
    numbers = graph.layers['bbox_head.cls_convs.1.conv'].outputs
    assert graph.group_of('bbox_head.cls_convs.1.conv').size == 32
    assert torch.equal(numbers, numbers[::8].repeat_interleave(8))
    assert members(graph, 'bbox_head.cls_convs.3.conv')[1] == {'bbox_head.conv_cls', 'bbox_head.conv_centerness'}


def test_regions_tie_the_pyramid_to_49_inputs_of_the_first_linear_layer(graphs):
    graph = graphs['mask_rcnn']
    pyramid = graph.group_of('neck.fpn_convs.0.conv')
    assert set(pyramid.consumers) == {'rpn_head.rpn_conv', 'roi_head.bbox_head.shared_fcs.0',
                                      'roi_head.mask_head.convs.0.conv'}
    inputs = graph.layers['roi_head.bbox_head.shared_fcs.0'].inputs
    assert torch.equal(inputs, graph.layers['neck.fpn_convs.3.conv'].outputs.repeat_interleave(49))
    assert torch.equal(graph.layers['roi_head.bbox_roi_extractor'].outputs, pyramid.channels)
    assert members(graph, 'roi_head.bbox_head.shared_fcs.1')[1] == {'roi_head.bbox_head.fc_cls',
                                                                    'roi_head.bbox_head.fc_reg'}
    assert graph.layers['roi_head.mask_head.upsample'].macs == 14 * 14 * 4 * 100
    assert graph.layers['roi_head.bbox_head.shared_fcs.0'].macs == 1000
    for fixed in ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_reg', 'roi_head.mask_head.conv_logits'):
        assert not graph.layers[fixed].outputs.any()


def test_merging_cells_and_their_inputs_have_two_widths(graphs):
    """The first cell adds P6 and P4, the second its output and P4; from there on everything meets in the next stack."""
    graph = graphs['nas_fpn']
    first = {'neck.inputs.laterals.1.conv', 'neck.inputs.tops.0.conv', 'neck.stacks.0.0.conv'}
    assert set(graph.group_of('neck.stacks.0.0.conv').producers) == first
    convolutions = {name for name, layer in graph.layers.items() if name.startswith('neck.') and layer.kind == 'dense'}
    assert len(convolutions) == 3 + 2 + 2 * 7       # laterals, two more levels, two stacks of seven cells
    rest = graph.group_of('neck.stacks.1.0.conv')
    assert set(rest.producers) == convolutions - first
    assert {'bbox_head.cls_convs.0.conv', 'bbox_head.reg_convs.0.conv'} < set(rest.consumers)
    assert rest.size == 256


def test_nothing_in_the_five_detectors_stops_the_trace(graphs):
    assert {name: graph.stops for name, graph in graphs.items()} == dict.fromkeys(graphs, ())


@pytest.mark.parametrize('name', ['retinanet', 'fcos', 'nas_fpn'])
def test_the_graph_counts_what_a_counter_of_calls_counts(name):
    """Of the whole network, and of three slices of it, by the channels that are left."""
    for seed in (None, 0, 1, 2):
        network = build(small(name))
        graph = trace_channels(network, (3, 128, 128))
        alive = graph.all_alive() if seed is None else draw_alive(graph, seed)
        slice_channels(network, graph, alive)
        counted = sum(layer.macs * int(alive[layer.outputs].sum()) * int(alive[layer.inputs].sum())
                      for layer in graph.layers.values() if layer.kind == 'dense')
        assert counted == count(network, (3, 128, 128))['macs']


class Operations(nn.Module):
    """Two convolutions with an operation between them."""

    def __init__(self, operation):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.operation = operation

    def forward(self, image):
        return self.second(self.operation(self, self.first(image)))


def shuffle(_, x):
    return x.view(1, 2, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape)


def halves(_, x):
    first, second = x.chunk(2, 1)
    return torch.cat([second, first.relu()], 1)


@pytest.mark.parametrize('operation, stop', [
    (shuffle, 'view'), (halves, 'chunk'), (lambda _, x: torch.cat([x[:, 4:], x[:, :4]], 1), '__getitem__'),
    (lambda _, x: x[:, [1, 0, 3, 2, 5, 4, 7, 6]], '__getitem__'), (lambda _, x: torch.stack(x.unbind(1), 1), 'unbind'),
    (lambda _, x: torch.cat(x.split([2, 6], 1), 1), 'split')],
    ids=['shuffle', 'chunk', 'slices', 'index', 'unbind', 'split'])
def test_channels_that_are_cut_or_regrouped_are_fixed(operation, stop):
    """The network's code would cut a narrower tensor elsewhere."""
    graph = trace_channels(Operations(operation), (3, 8, 8))
    assert graph.stops == (f'{stop} in the network',)
    assert not graph.layers['first'].outputs.any()
    assert not graph.layers['second'].inputs.any()


def overwritten(_, x):
    y = x.relu()
    y[:, :4] = x[:, 4:]
    return y


def filled(_, x):
    y = torch.zeros(x.shape, device='meta')
    y[...] = x
    return y


@pytest.mark.parametrize('operation', [overwritten, filled])
def test_an_assignment_to_a_part_fixes_both_sides(operation):
    graph = trace_channels(Operations(operation), (3, 8, 8))
    assert '__setitem__ in the network' in graph.stops
    assert not graph.layers['first'].outputs.any()
    assert not graph.layers['second'].inputs.any()


@pytest.mark.parametrize('operation', [
    lambda _, x: x.permute(0, 2, 3, 1).flatten(0, 2).view(1, 8, 8, -1).permute(0, 3, 1, 2),
    lambda _, x: x.flatten(1).view(x.shape), lambda _, x: x[:, :, 1:].narrow(3, 0, 4),
    lambda _, x: torch.cat(x.chunk(2, 3), 2), lambda _, x: x.unsqueeze(1).repeat(1, 3, 1, 1, 1).unbind(1)[2]],
    ids=['channels last', 'flatten', 'crop', 'chunks of columns', 'copies'])
def test_what_leaves_the_channels_whole_is_followed(operation):
    graph = trace_channels(Operations(operation), (3, 8, 8))
    assert graph.stops == ()
    assert torch.equal(graph.layers['second'].inputs, graph.groups['first'].channels)


def test_concatenated_channels_keep_their_numbers():
    network = Operations(lambda network, x: torch.cat([network.beside(x), x.relu()], 1))
    network.beside, network.second = nn.Conv2d(8, 4, 1), nn.Conv2d(12, 2, 1)
    graph = trace_channels(network, (3, 8, 8))
    first, beside = (graph.groups[name].channels.tolist() for name in ('first', 'beside'))
    assert graph.layers['second'].inputs.tolist() == beside + first


def test_a_network_that_shuffles_channels_narrows_where_it_does_not():
    """In DetNAS the stem and what is inside a branch are free (two widths in an Xception block, one in others)."""
    with torch.device('meta'):
        network = zoo.build('detnas_coco_retinanet_300m')
    graph = trace_channels(network, (3, 64, 64))
    assert {stop.split(' in ')[0] for stop in graph.stops} == {'__getitem__'}
    inner = {name: group for name, group in graph.groups.items() if name != 'stem.0'}
    assert sum(group.size for group in inner.values()) == sum(
        stage['channels'] // 2 * (2 if kind == 'xception' else 1)
        for stage in zoo.load('detnas_coco_retinanet_300m').value['stages'] for kind in stage['blocks'])
    for name, group in inner.items():
        branch = name[:name.index('branch.') + len('branch.')]
        assert all(consumer.startswith(branch) for consumer in group.consumers)
    widths = {name: group.size // 2 for name, group in graph.groups.items()}
    for layer, sizes in layer_widths(graph, widths).items():
        set_widths(network.get_submodule(layer), sizes)
    assert [level.shape[1] for level in run_on_meta(network, (3, 64, 64))] == [64, 160, 320, 640]


@pytest.mark.parametrize('operation', [
    lambda _, x: x.softmax(1), lambda network, x: x * network.scale, lambda _, x: x - x.mean(1, keepdim=True),
    lambda _, x: x.cumsum(1), lambda _, x: x * x[:, :1], lambda _, x: x.flatten(1).view(x.shape).transpose(1, 2)
    .reshape(x.shape)], ids=['softmax', 'parameter', 'mean', 'cumsum', 'broadcast', 'mixed'])
def test_what_mixes_channels_fixes_them(operation):
    graph = trace_channels(Operations(operation), (3, 8, 8))
    assert 0 in graph.layers['second'].inputs
    assert 0 in graph.layers['first'].outputs


def test_an_operation_without_a_rule_is_named():
    assert trace_channels(Operations(lambda _, x: x.softmax(1)), (3, 8, 8)).stops == ('softmax in the network',)


def test_a_depthwise_convolution_passes_channels_on_and_a_grouped_one_fixes_them():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1),
                            nn.Conv2d(8, 2, 1, groups=2))
    graph = trace_channels(network, (3, 8, 8))
    assert list(graph.groups) == ['0']
    assert graph.groups['0'].passes == ('1', '2')
    assert torch.equal(graph.layers['1'].outputs, graph.layers['0'].outputs.repeat_interleave(2))
    assert graph.layers['2'].follows == '1'
    assert graph.stops == ('convolution in 2 groups in 4',)
    assert count(network, (3, 8, 8))['macs'] == sum(
        layer.macs * len(layer.outputs) * (len(layer.inputs) if layer.kind == 'dense' else 1)
        for layer in graph.layers.values())


def test_a_layer_that_does_not_run_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    with pytest.raises(ValueError, match='1 did not run in the forward pass of this Sequential'):
        trace_channels(network, (3, 8, 8), forward=lambda model, image: model[0](image))
