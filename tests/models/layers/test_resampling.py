"""How maps change their size between pyramid levels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdet.models.layers.merging import read_cells, run_cells
from nasdet.models.layers.resampling import max_pool, resample


@pytest.mark.parametrize('mode', ['reference', 'mmdet'])
@pytest.mark.parametrize('side', [16, 24])
def test_resampling_without_remainder_is_repetition_and_pooling(mode, side):
    x = torch.randn(2, 3, side, 2 * side)
    big = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(resample(x, 2, big.shape[-2:], mode), big)
    small = x.unfold(2, 8, 8).unfold(3, 8, 8).amax((-1, -2))
    assert torch.equal(resample(x, -3, small.shape[-2:], mode), small)


def test_resampling_with_a_remainder():
    x = -torch.arange(1., 6).reshape(1, 1, 1, 5).expand(1, 1, 5, 5)       # -1 .. -5 along each row
    assert resample(x, -1, (3, 3), 'reference')[0, 0].tolist() == [[-1, -3, -5]] * 3
    zeros = [[-1, -3, 0], [-1, -3, 0], [0, 0, 0]]      # the padding, below and on the right, wins over what is negative
    assert resample(x, -1, (3, 3), 'mmdet')[0, 0].tolist() == zeros
    assert resample(x[..., :4, :4], -1, (3, 3), 'mmdet')[0, 0].tolist() == [[0, 0, 0], [0, -2, 0], [0, 0, 0]]
    assert resample(x[..., :3, :3], 1, (5, 5), 'reference')[0, 0, 0].tolist() == [-1, -1, -2, -2, -3]
    assert resample(x[..., :2, :2], 1, (5, 5), 'mmdet')[0, 0, 0].tolist() == [-1, -1, -1, -2, -2]


@pytest.mark.parametrize('kernel', [[2, 2], [4, 8], [3, 1], [1, 5]])
def test_max_pooling_is_torchs_with_and_without_gradients(kernel):
    x = torch.randn(2, 3, 4 * kernel[0], 2 * kernel[1])
    x[0, 0, 0, 0] = torch.nan
    expected = F.max_pool2d(x, kernel)
    torch.testing.assert_close(max_pool(x, kernel), expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(max_pool(x.requires_grad_(), kernel), expected, rtol=0, atol=0, equal_nan=True)


def test_a_feature_is_resampled_once_to_each_level(monkeypatch):
    """P3 joins two cells of level 4, P4 two of level 5; the second projection of P4 is another feature than P4."""
    calls = []

    def noted(x, distance, size, mode):
        if distance:
            calls.append((id(x), distance))
        return resample(x, distance, size, mode)

    monkeypatch.setattr('nasdet.models.layers.merging.resample', noted)
    cells = [dict(level=level, op='sum', inputs=inputs, output=output) for level, inputs, output in [
        (4, [0, 1], False), (5, [0, 1], False), (4, [0, 3], True), (5, [1, 2], True), (3, [0, 1], True)]]
    value = dict(levels=[3, 4, 5], gp_mode='reference', top='pool', conv_bias=True, cells=cells)
    features = [torch.randn(1, 2, side, side) for side in (8, 4, 2)]
    extra = torch.randn(1, 2, 4, 4)
    run_cells(features, value['levels'], read_cells(value), [nn.Identity()] * 5, 'reference', extra)
    p3, again = id(features[0]), id(extra)
    assert sorted(calls) == sorted([(p3, -1), (p3, -2), (again, -1), (again, 1)])
