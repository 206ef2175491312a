"""Operations by name: shapes, parameters and arithmetic of each."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdet.models.layers.cells import OPERATIONS, Dialect, build_operation
from nasdet.models.layers.cells.convolutions import FactorizedReduction, conv
from nasdet.models.layers.cells.operations import drops_path
from nasdet.models.layers.cells.pooling import pooling

C = 8


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('padding', ['symmetric', 'same', 'timm'])
@pytest.mark.parametrize('convs', ['plain', 'bottleneck'])
@pytest.mark.parametrize('name', OPERATIONS)
def test_any_size_and_any_number_of_channels(name, convs, padding):
    dialect = Dialect(convs=convs, padding=padding)
    for stride in (1, 2):
        for channels in (C, 5):
            operation = build_operation(name, channels, C, stride, dialect)
            for rows, columns in ((7, 10), (1, 2)):
                output = operation(torch.randn(2, channels, rows, columns))
                assert output.shape == (2, C, math.ceil(rows / stride), math.ceil(columns / stride))


@pytest.mark.parametrize('name, plain, bottleneck', [
    ('id', 0, 0), ('none', 0, 0), ('avg3', 0, 0), ('max2', 0, 0), ('max3', 0, 0),
    ('sep3', 2 * (9 * C + C * C + 2 * C), None), ('sep5', 2 * (25 * C + C * C + 2 * C), None),
    ('sep7', 2 * (49 * C + C * C + 2 * C), None), ('dil2sep5', 2 * (25 * C + C * C + 2 * C), None),
    ('dil5', 25 * C + C * C + 2 * C, C * 2 + 4 + 25 * 4 + 4 + 2 * C + 2 * C),
    ('dil3', 9 * C + C * C + 2 * C, C * 2 + 4 + 9 * 4 + 4 + 2 * C + 2 * C),
    ('conv1', C * C + 2 * C, None),
    ('conv3', 9 * C * C + 2 * C, C * 2 + 4 + 9 * 4 + 4 + 2 * C + 2 * C),
    ('conv17_71', 14 * C * C + 2 * C, C * 2 + 4 + 2 * (7 * 4 + 4) + 2 * C + 2 * C),
    ('conv13_31', 6 * C * C + 2 * C, C * 3 + 6 + 2 * (3 * 9 + 6) + 3 * C + 2 * C)])
def test_parameters_of_the_layers(name, plain, bottleneck):
    """Bottlenecks have a quarter of the 8 channels, conv13_31's three eighths."""
    for convs, expected in (('plain', plain), ('bottleneck', plain if bottleneck is None else bottleneck)):
        assert parameters(build_operation(name, C, C, 1, Dialect(convs=convs))) == expected


def test_a_bottleneck_without_a_channel_is_left_out():
    assert parameters(build_operation('conv3', 3, 3, 1, Dialect(convs='bottleneck'))) == 9 * 9 + 6


@pytest.mark.parametrize('strided_id, relu', [('relu_conv', True), ('relu_factorized', True), ('factorized', False)])
def test_what_id_is_at_stride_2(strided_id, relu):
    operation = build_operation('id', C, C, 2, Dialect(strided_id=strided_id))
    assert operation.wants_relu is relu
    assert parameters(operation) == C * C + 2 * C
    assert operation(torch.randn(2, C, 7, 10)).shape == (2, C, 4, 5)
    assert any(isinstance(module, FactorizedReduction) for module in operation) == (strided_id != 'relu_conv')


@pytest.mark.parametrize('name, wants', [('sep3', True), ('conv1', True), ('dil3', True), ('avg3', False),
                                         ('max3', False)])
def test_relu_comes_first_but_before_a_pooling(name, wants):
    assert build_operation(name, 5, C, 1, Dialect()).wants_relu is wants


def test_drop_path_spares_id_but_for_what_darts_puts_in_its_place():
    assert drops_path('sep3', 1, Dialect()) and drops_path('avg3', 2, Dialect())
    assert not drops_path('id', 1, Dialect(strided_id='relu_factorized'))
    assert [drops_path('id', 2, Dialect(strided_id=kind))
            for kind in ('relu_conv', 'relu_factorized', 'factorized')] == [False, True, False]


def test_normalisation_of_pooling_and_without_affine():
    """The layers of DARTS's relaxed network."""
    operation = build_operation('max3', C, C, 1, Dialect(pool_norm=True, norm_cfg=dict(type='BN', affine=False)))
    assert parameters(operation) == 0 and operation.has_weights
    output = operation(torch.randn(4, C, 6, 6))
    torch.testing.assert_close(output.mean(dim=(0, 2, 3)), torch.zeros(C), atol=1e-6, rtol=0)


def literal_same(x, kernel, stride, value):
    """Return a map padded as TensorFlow does, in an own formulation: the last window has to begin inside."""
    before_after = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max(kernel + stride * ((size - 1) // stride) - size, 0)
        before_after += [total // 2, (total + 1) // 2]
    return F.pad(x, before_after, value=value)


@pytest.mark.parametrize('size', [(7, 7), (8, 8), (5, 6), (1, 2)])
@pytest.mark.parametrize('kernel', [2, 3, 5])
def test_pooling_with_tensorflows_padding(kernel, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = F.max_pool2d(literal_same(x, kernel, 2, -math.inf), kernel, 2)
    torch.testing.assert_close(pooling('max', kernel, 2, 'same')(x), expected)
    if kernel == 3:
        inside = F.avg_pool2d(literal_same(torch.ones_like(x), 3, 2, 0.0), 3, 2)
        with_padding = F.avg_pool2d(literal_same(x, 3, 2, 0.0), 3, 2)
        torch.testing.assert_close(pooling('avg', 3, 2, 'same')(x), with_padding / inside)
        torch.testing.assert_close(pooling('avg', 3, 2, 'timm')(x), with_padding)


@pytest.mark.parametrize('padding', ['symmetric', 'same'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(7, 6), (2, 3)])
def test_an_average_does_not_count_the_padding(size, stride, padding):
    ones = torch.ones(1, 2, *size)
    pooled = pooling('avg', 3, stride, padding)(ones)
    torch.testing.assert_close(pooled, torch.ones_like(pooled))


def test_an_even_window_reaches_over_the_last_row_and_column():
    x = torch.tensor([[1.0, 5.0, 2.0], [3.0, 0.0, 4.0], [6.0, 7.0, -1.0]])[None, None]
    assert pooling('max', 2, 1, 'symmetric')(x).tolist() == [[[[5, 5, 4], [7, 7, 4], [7, 7, -1]]]]
    assert pooling('max', 2, 2, 'symmetric')(x).tolist() == [[[[5, 4], [7, -1]]]]


@pytest.mark.parametrize('kernel, stride, dilation', [(3, 2, 1), (5, 2, 1), (3, 2, 2), ((1, 7), (1, 2), 1), (1, 2, 1)])
@pytest.mark.parametrize('size', [(9, 9), (8, 10)])
def test_convolutions_have_as_many_windows_in_either_padding(kernel, stride, dilation, size):
    x = torch.randn(1, 2, *size)
    symmetric, same = (conv(2, 4, kernel, Dialect(padding=padding), stride, dilation) for padding in
                       ('symmetric', 'same'))
    same.load_state_dict(symmetric.state_dict())
    rows, columns = stride if isinstance(stride, tuple) else (stride, stride)
    assert symmetric(x).shape == same(x).shape == (1, 4, math.ceil(size[0] / rows), math.ceil(size[1] / columns))
    if size == (9, 9):      # the padding that an odd size needs is even
        torch.testing.assert_close(symmetric(x), same(x))


@pytest.mark.parametrize('width', [6, 7])
@pytest.mark.parametrize('size', [(6, 8), (5, 7), (1, 3)])
def test_factorized_reduction_as_it_is_written(size, width):
    """Pad one row and column at the end, drop the first ones, and subsample (Zoph et al., authors' code)."""
    torch.manual_seed(0)
    reduction = FactorizedReduction(4, width, Dialect()).double().eval()
    nn.init.uniform_(reduction.norm.running_mean)
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    paths = [reduction.path1(x[:, :, ::2, ::2]), reduction.path2(shifted[:, :, ::2, ::2])]
    assert [path.shape[1] for path in paths] == [width // 2, width - width // 2]
    torch.testing.assert_close(reduction(x), reduction.norm(torch.cat(paths, dim=1)))


def test_a_factorized_reduction_needs_a_channel_for_each_path():
    with pytest.raises(ValueError, match='at least 2 channels, not 1'):
        FactorizedReduction(4, 1, Dialect())
