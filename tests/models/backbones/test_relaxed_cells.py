"""DARTS's relaxation: published figures, the mixture as the sum that the paper writes, and what is derived from it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdet.costs.complexity import count
from nasdet.models.backbones import RelaxedCellNetwork
from nasdet.models.backbones.relaxed_cells import derive_cell
from nasdet.models.layers.cells import Dialect, RelaxedCell, check_genotype
from nasdet.models.layers.cells.convolutions import FactorizedReduction
from nasdet.models.meta import build_on_meta
from nasdet.spaces.cells_published import DARTS_DIALECT, DARTS_OPS

OPS = ('none', *DARTS_OPS)
PUBLISHED = dict(type='RelaxedCellNetwork', num_blocks=4, ops=OPS, dialect=DARTS_DIALECT, num_cells=(2, 2, 2), width=16,
                 num_classes=10, final_relu=False)


def build(**options):
    torch.manual_seed(0)
    arguments = {**PUBLISHED, 'num_cells': (1, 1), 'width': 4, **options}
    return RelaxedCellNetwork(**{name: value for name, value in arguments.items() if name != 'type'})


def test_the_published_network_of_the_search():
    network = build_on_meta(PUBLISHED)
    weights = {name: weight.numel() for name, weight in network.named_parameters()}
    alphas = {name: weights.pop(name) for name in list(weights) if name.startswith('alphas.')}
    assert alphas == {'alphas.normal': 112, 'alphas.reduce': 112}
    assert sum(weights.values()) == 1_930_618
    assert count(network, (3, 32, 32))['macs'] == 300_255_744
    scaled = [name for name, module in network.cells.named_modules() if getattr(module, 'affine', False)]
    assert not scaled


def normalised(x):
    """Return a map (N, C, H, W) with the batch's mean 0 and variance 1 in each channel."""
    return F.batch_norm(x, None, None, training=True)


def in_turn(name, operation, x, stride):
    """Return one operation of an edge, layer by layer as the paper's appendix A.1 lists them."""
    if name == 'none':
        return torch.zeros_like(x[..., ::stride, ::stride])
    if name in ('max3', 'avg3'):
        pool = F.max_pool2d if name == 'max3' else lambda *args: F.avg_pool2d(*args, count_include_pad=False)
        return normalised(pool(x, 3, stride, 1))
    if name == 'id' and stride == 1:
        return x
    layers, x = operation.layers, F.relu(x)
    if name == 'id':
        halves = [layers.reduction.path1(x[..., ::2, ::2]), layers.reduction.path2(x[..., 1::2, 1::2])]
        return normalised(torch.cat(halves, dim=1))
    kernel, dilation = int(name[-1]), 2 if name.startswith('dil') else 1
    for index, part in enumerate([layers.first] + ([layers.second] if name.startswith('sep') else [])):
        assert part.depthwise.kernel_size == (kernel, kernel)
        x = F.relu(x) if index else x
        x = F.conv2d(x, part.depthwise.weight, None, 1 if index else stride, dilation * (kernel // 2), dilation,
                     groups=x.shape[1])
        x = normalised(F.conv2d(x, part.pointwise.weight))
    return x


def literal(cell, before, last, weights):
    """Return a cell's output with every operation of every edge run in turn, weighted and added."""
    def apply(operation, x):
        x = F.relu(x)
        for layer in operation.children():
            if isinstance(layer, FactorizedReduction):
                x = torch.cat([layer.path1(x[..., ::2, ::2]), layer.path2(x[..., 1::2, 1::2])], dim=1)
            else:
                x = layer.conv(x)
        return normalised(x)

    states, row = [apply(cell.inputs[0], before), apply(cell.inputs[1], last)], 0
    strided = last.shape[-1] != cell(before, last, weights).shape[-1]
    for _ in range(cell.num_blocks):
        total = 0
        for state, x in enumerate(states):
            stride = 2 if strided and state < 2 else 1
            edge = cell.edges[row]
            for name, weight in zip(cell.ops, weights[row], strict=True):
                total = total + weight * in_turn(name, edge[name] if name in edge else None, x, stride)
            row += 1
        states.append(total)
    return torch.cat(states[2:], dim=1)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('reduction, halve_first', [(False, False), (False, True), (True, False)])
def test_a_cell_is_the_sum_of_its_operations_one_by_one(reduction, halve_first, layout):
    torch.manual_seed(0)
    dialect = Dialect.of({**DARTS_DIALECT, 'pool_norm': True}, 'symmetric', dict(type='BN', affine=False))
    cell = RelaxedCell(3, OPS, (5, 6), 4, reduction, halve_first, dialect).double()
    size = 16 if halve_first else 8
    before, last = (torch.randn(shape, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
                    for shape in ((3, 5, size, size), (3, 6, 8, 8)))
    logits = torch.randn(9, len(OPS), dtype=torch.float64, requires_grad=True)
    target = torch.randn_like(cell(before, last, logits.softmax(dim=1)))
    read = [before, last, logits, *cell.parameters()]
    results = []
    for run in (cell, lambda *args: literal(cell, *args)):
        output = run(before, last, logits.softmax(dim=1))
        results.append([output, *torch.autograd.grad((output * target).sum(), read)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9 * expected.detach().abs().max().item())
    assert min(gradient.abs().max() for gradient in results[1][1:]) > 0


def test_architecture_parameters_that_choose_give_the_chosen_operation():
    """Far above the others, one parameter an edge leaves that operation alone: here the identity, then nothing."""
    network = build(num_cells=(1,)).double().train()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    stem = network.stem(images)
    first, second = (F.relu(stem[0]), F.relu(stem[1]))
    first, second = (layer(x) for layer, x in zip(network.cells[0].inputs, (first, second), strict=True))
    with torch.no_grad():
        network.alphas.normal.zero_()
        network.alphas.normal[:, OPS.index('id')] = 100.0
        one = network.cells[0](*stem, network.alphas.normal.softmax(dim=1))
        network.alphas.normal[:, OPS.index('none')] = 200.0
        nothing = network.cells[0](*stem, network.alphas.normal.softmax(dim=1))
    sums = [first + second]
    for _ in range(3):
        sums.append(first + second + sum(sums))
    torch.testing.assert_close(one, torch.cat(sums, dim=1))
    assert nothing.abs().max() < 1e-30


@pytest.mark.parametrize('stem', ['cifar', 'nasnet_imagenet', 'darts_imagenet'])
def test_odd_widths_and_sizes_on_any_stem_as_a_backbone(stem):
    network = build(num_cells=(1, 1, 0), width=9, stem=stem, out_indices=(0, 1, 2, 3)).eval()
    images = torch.randn(1, 3, 45, 51)
    maps = network(images)
    assert tuple(feature.shape[1] for feature in maps) == network.out_channels
    for feature, stride in zip(maps, network.strides, strict=True):
        assert abs(feature.shape[2] - 45 / stride) <= 1 and abs(feature.shape[3] - 51 / stride) <= 1


def test_running_statistics_are_kept_for_evaluation():
    network = build()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    network.train()(torch.randn(4, 3, 8, 8))
    assert not any(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    network.eval()
    first = network(torch.randn(4, 3, 8, 8))
    assert torch.isfinite(first).all()


def test_batch_norm_is_the_one_that_is_asked_for_without_a_scale_in_the_cells():
    network = build(norm_cfg=dict(type='BN', eps=0.5, momentum=0.3, track_running_stats=False))
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {(norm.eps, norm.momentum, norm.running_mean) for norm in norms.values()} == {(0.5, 0.3, None)}
    assert {norm.affine for name, norm in norms.items() if name.startswith('cells')} == {False}
    images = torch.randn(4, 3, 8, 8)
    plain = build(norm_cfg=dict(type='BN', track_running_stats=False))
    plain.load_state_dict(network.state_dict())
    outputs = [each.eval()(images) for each in (network, plain)]
    assert torch.isfinite(outputs[0]).all() and not torch.allclose(*outputs)


@pytest.mark.parametrize('norm_cfg', [
    dict(type='GN', num_groups=2), dict(type='SyncBN'), dict(type='BN', momentum=None)])
def test_another_normalisation_is_refused(norm_cfg):
    with pytest.raises(ValueError, match="a relaxation's normalisation is batch norm on one device"):
        build(norm_cfg=norm_cfg)


def softmax_of(rows):
    return torch.tensor(rows, dtype=torch.float64).softmax(dim=1)


def test_a_cell_is_derived_from_the_two_strongest_edges():
    ops = ('none', 'id', 'sep3')
    weights = softmax_of([
        [0, 1, 0], [0, 0, 2],                   # block 0: the second edge is the stronger one
        [0, 0, 3], [9, 0, 3], [0, 2, 0],        # block 1: `none` takes most of the second edge, so that it is weak
    ])
    assert derive_cell(weights, ops) == dict(blocks=[[1, 'sep3', 0, 'id'], [0, 'sep3', 2, 'id']], concat=[2, 3])


def test_ties_go_to_the_lower_state_and_the_earlier_operation():
    ops = ('sep3', 'none', 'max3')
    cell = derive_cell(softmax_of([[0, 0, 0]] * 5), ops)
    assert cell['blocks'] == [[0, 'sep3', 1, 'sep3']] * 2


def test_none_is_never_derived_and_the_value_is_a_genotype():
    network = build()
    for scale in (0.0, 50.0):
        with torch.no_grad():
            network.alphas.normal[:, 0] = scale
            network.alphas.reduce[:, 0] = scale
        value = network.derive()
        check_genotype(value)
        assert 'none' not in str(value['normal']) + str(value['reduce'])
        assert {name: value[name] for name in DARTS_DIALECT} == DARTS_DIALECT


def test_refuses_operations_of_which_none_does_anything():
    with pytest.raises(ValueError, match='at least one besides none'):
        build(ops=('none',))
    with pytest.raises(ValueError, match='ops are different ones'):
        build(ops=('none', 'sep4'))
