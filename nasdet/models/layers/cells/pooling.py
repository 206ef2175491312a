"""Pooling whose output has ceil(size / stride) rows and columns, with the padding of either framework."""

import math

import torch.nn.functional as F
from torch import Tensor, nn


def pooling(kind: str, kernel: int, stride: int, padding: str) -> nn.Module:
    """Return a pooling layer.

    Args:
        kind: ``'max'``, or ``'avg'``: the mean of what lies inside the map.
        kernel: Side of the window.
        stride: 1 or 2.
        padding: ``'symmetric'``, ``'same'`` or ``'timm'``
            (:class:`~nasdet.models.layers.cells.dialect.Dialect`); an even kernel always has one row and
            column more after the map than before it.
    """
    if kernel % 2 == 0 and stride == 1:
        if kind == 'avg':
            raise ValueError(f'average pooling has an odd kernel at stride 1, not {kernel}')
        before, after = (kernel - 1) // 2, kernel // 2
        return nn.Sequential(nn.ConstantPad2d((before, after, before, after), -math.inf), nn.MaxPool2d(kernel, 1))
    if kernel % 2 and (stride == 1 or padding == 'symmetric'):
        if kind == 'max':
            return nn.MaxPool2d(kernel, stride, kernel // 2)
        return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    return SamePooling(kind, kernel, stride, counts_padding=padding == 'timm')


class SamePooling(nn.Module):
    """Strided pooling with TensorFlow's padding, of which the smaller half lies before the map.

    The padding after the map is left to the ceiling mode, in which windows reach over the edge: nothing is copied.

    Args:
        kind: ``'max'`` or ``'avg'``.
        kernel: Side of the window.
        stride: At least 2.
        counts_padding: Whether the mean counts the padding as zeros, as timm's layers do.
    """

    def __init__(self, kind: str, kernel: int, stride: int, counts_padding: bool = False):
        super().__init__()
        self.kind, self.kernel, self.stride = kind, kernel, stride
        self.divisor = kernel ** 2 if counts_padding else None

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        padding = [self._before(size) for size in x.shape[-2:]]
        if self.kind == 'max':
            return F.max_pool2d(x, self.kernel, self.stride, padding, ceil_mode=True)
        return F.avg_pool2d(x, self.kernel, self.stride, padding, ceil_mode=True, count_include_pad=False,
                            divisor_override=self.divisor)

    def _before(self, size: int) -> int:
        outputs = math.ceil(size / self.stride)
        return max((outputs - 1) * self.stride + self.kernel - size, 0) // 2

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f'{self.kind}, kernel={self.kernel}, stride={self.stride}, divisor={self.divisor}'
