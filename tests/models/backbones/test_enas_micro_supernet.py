"""The shared network of ENAS's micro search: its weights, its paths, what a path leaves alone."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nasdet.models.backbones import ENASMicroSupernet
from nasdet.spaces import ENASMicroSpace
from nasdet.training import set_path

DIALECT = dict(inputs='enas', strided_id='factorized', convs='plain', pool_norm=False)
TINY = dict(num_blocks=2, ops=('sep3', 'avg3', 'id'), dialect=DIALECT, num_cells=(1, 1), width=4, num_classes=3)
# What reads what: state 3 of the normal cell is its only loose end besides state 0; the other cell leaves 1 and 3.
NORMAL = dict(blocks=[[1, 'sep3', 1, 'id'], [2, 'avg3', 1, 'sep3']], concat=[0, 3])
REDUCE = dict(blocks=[[0, 'avg3', 0, 'sep3'], [2, 'sep3', 0, 'id']], concat=[1, 3])
PATH = dict(DIALECT, normal=NORMAL, reduce=REDUCE)


def build(**changes):
    torch.manual_seed(0)
    network = ENASMicroSupernet(**{**TINY, **changes})
    network.set_path(PATH)
    return network


def formula(width, num_classes, auxiliary):
    """Parameters of the published search, 2 + 1 + 2 + 1 + 2 cells of 5 blocks, from the paper's text and the code's."""
    def cell(f):
        separable = sum(2 * (k * k * f + f * f + 2 * f) for k in (3, 5))     # twice depthwise, 1x1, scale and offset
        reads = sum(2 * states for states in range(2, 7))                   # halves x states that they may read
        return reads * separable + 7 * f * f + 2 * f

    def conv(inputs, outputs, kernel=1):
        return kernel * kernel * inputs * outputs + 2 * outputs             # with scale and offset

    f = width
    stages = 2 * cell(f) + 3 * cell(2 * f) + 3 * cell(4 * f)
    inputs = 2 * conv(3 * f, f) + conv(3 * f, f)        # of the first cell both, of the second the stem
    # A factorized reduction before the cell, and one of the cell's first input, which is not reduced yet.
    reductions = 2 * conv(f, 2 * f) + 2 * conv(2 * f, 4 * f)
    head = conv(4 * f, 128) + conv(128, 768, 2) + 768 * num_classes if auxiliary else 0
    return conv(3, 3 * f, 3) + stages + inputs + reductions + head + 4 * f * num_classes


@pytest.mark.parametrize('auxiliary', [True, False])
def test_parameters_of_the_published_search(auxiliary):
    space = ENASMicroSpace()
    skeleton = dict(type='CellNetwork', num_cells=(2, 2, 2), width=20, num_classes=10, fc_bias=False,
                    auxiliary=auxiliary, auxiliary_head=dict(kernel=2, cell=6, bias=False))
    model = space.supernet(ConfigDict(type='ImageClassifier', backbone=skeleton))
    with torch.device('meta'):
        network = MODELS.build(model.backbone)
    assert sum(parameter.numel() for parameter in network.parameters()) == formula(20, 10, auxiliary)
    assert not list(network.buffers())      # no running statistics


def norm(x, layer):
    mean, variance = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    scale, offset = layer.weight[:, None, None], layer.bias[:, None, None]
    return (x - mean) / (variance + 1e-5).sqrt() * scale + offset


def separable(x, operation):
    for layers in (operation.first, operation.second):
        x = F.conv2d(F.relu(x), layers.depthwise.weight, padding=1, groups=x.shape[1])
        x = norm(F.conv2d(x, layers.pointwise.weight), layers.norm)
    return x


def projected(x, layers):
    return norm(F.conv2d(F.relu(x), layers.project.conv.weight), layers.project.norm)


def reduced(x, reduction):
    odd = F.pad(x, (0, 1, 0, 1))[..., 1:, 1:]       # shifted by one pixel, zeros behind the edge
    halves = [F.conv2d(part, path.weight, stride=2)
              for part, path in ((x, reduction.path1), (odd, reduction.path2))]
    return norm(torch.cat(halves, dim=1), reduction.norm)


def average(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def loose_ends(cell, states):
    """The sum of a convolution of each loose end, which is the convolution of their concatenation."""
    return norm(sum(F.conv2d(F.relu(x), cell.output.slices[number].weight) for number, x in states.items()),
                cell.output.norm)


def normal_cell(cell, zero, one):
    two = separable(one, cell.blocks[0][0][1]['sep3']) + one
    three = average(two) + separable(one, cell.blocks[1][1][1]['sep3'])
    return loose_ends(cell, {0: zero, 3: three})


def logits_by_hand(network, images):
    first, reduce, last = network.cells
    stem = norm(F.conv2d(images, network.stem.conv.weight, padding=1), network.stem.norm)
    a = normal_cell(first, projected(stem, first.inputs[0]), projected(stem, first.inputs[1]))
    halved = reduced(a, network.reductions['1'])
    zero = reduced(F.relu(a), reduce.inputs[0].reduction)
    two = average(zero) + separable(zero, reduce.blocks[0][1][0]['sep3'])
    three = separable(two, reduce.blocks[1][0][2]['sep3']) + zero
    b = loose_ends(reduce, {1: halved, 3: three})
    c = normal_cell(last, halved, b)
    return F.linear(F.relu(c).mean(dim=(2, 3)), network.fc.weight, network.fc.bias)


def test_a_path_is_the_sum_that_it_says():
    network = build().double()
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(network(images), logits_by_hand(network, images), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network.eval()(images), network.train()(images), rtol=1e-10, atol=1e-12)


def test_what_a_path_does_not_use_gets_no_gradient():
    network = build()
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    used = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    blocks = {name for name in used if '.blocks.' in name}
    # cell, block, half, state and operation of the path's separable convolutions
    places = {(0, '0.0.1'), (0, '1.1.1'), (1, '0.1.0'), (1, '1.0.2'), (2, '0.0.1'), (2, '1.1.1')}
    assert {name.rsplit('.sep3', 1)[0] for name in blocks} == {f'cells.{cell}.blocks.{place}'
                                                               for cell, place in places}
    slices = {name.removesuffix('.weight') for name in used if '.slices.' in name}
    assert slices == {f'cells.{cell}.output.slices.{state}' for cell, states in ((0, (0, 3)), (1, (1, 3)), (2, (0, 3)))
                      for state in states}
    assert {name for name, _ in network.named_parameters() if not {'blocks', 'slices'} & set(name.split('.'))} <= used


def test_the_auxiliary_head_reads_the_cell_after_the_last_reduction_in_training():
    network = build(auxiliary=True, auxiliary_head=dict(kernel=1))
    assert network.auxiliary_cell == 2
    logits, auxiliary = network(torch.randn(2, 3, 16, 16))
    assert logits.shape == auxiliary.shape == (2, 3)
    assert network.eval()(torch.randn(2, 3, 16, 16)).shape == (2, 3)
    with pytest.raises(ValueError, match='cell is one of 0 to 2, not 3'):
        build(auxiliary=True, auxiliary_head=dict(cell=3))


def test_the_houses_paths_work_with_it():
    space = ENASMicroSpace(2, TINY['ops'])
    skeleton = dict(type='CellNetwork', num_cells=(1, 1), width=4, num_classes=3, norm_cfg=dict(type='BN', eps=1e-3))
    model = MODELS.build(space.supernet(ConfigDict(type='ImageClassifier', backbone=skeleton)))
    set_path(model, space, space.decode(space.encode(space.canonical(space.decode((0,) * 16)))))
    assert model.backbone.path['normal'].blocks[0].ops == ('sep3', 'sep3')
    assert model.backbone.stem.norm.eps == 1e-3 and model.backbone.stem.norm.running_mean is None


@pytest.mark.parametrize('value, words', [
    (dict(PATH, pool_norm=True), 'has pool_norm=False, the genotype True'),
    (dict(PATH, normal=dict(blocks=[[0, 'max3', 1, 'id']] * 2, concat=[2, 3])), 'adds the operations sep3, avg3, id'),
    (dict(PATH, reduce=dict(blocks=[[0, 'id', 1, 'id']], concat=[2])), '2 blocks, the reduce cell of the genotype 1')])
def test_refuses_genotypes_of_other_networks(value, words):
    with pytest.raises(ValueError, match=words):
        build().set_path(value)


def test_refuses_to_run_without_a_path_and_detectors():
    with pytest.raises(RuntimeError, match='call set_path'):
        ENASMicroSupernet(**TINY)(torch.randn(2, 3, 8, 8))
    with pytest.raises(ValueError, match='is a classifier of small images'):
        ENASMicroSpace(backbone=dict(num_cells=(1,), width=4, out_indices=(1,))).supernet(ConfigDict())
