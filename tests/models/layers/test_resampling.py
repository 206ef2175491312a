"""How maps change their size between pyramid levels."""

import pytest
import torch

from nasdet.models.layers.resampling import resample


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
