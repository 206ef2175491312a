"""How NAS-FPN brings a map to the size of another pyramid level: nearest neighbours and max pooling, no parameters.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392. Where a side is no multiple of the other public implementations differ; ``mode`` names the rule:
``'reference'`` (the authors' TPU code) or ``'mmdet'`` (mmdet's NASFPN on mmcv's merge cells).
"""

import math
from typing import Sequence

import torch.nn.functional as F
from torch import Tensor


def resample(x: Tensor, distance: int, size: Sequence[int], mode: str) -> Tensor:
    """Bring a map to the size of another level, by nearest neighbours or max pooling.

    Args:
        x: (N, C, H, W).
        distance: Its level minus the target's; above 0 it becomes finer.
        size: Height and width of the target level.
        mode: Decides what happens where a side is no multiple of the other: ``'reference'`` keeps factor 2 ** distance
            and lines the maps up at the top left, ``'mmdet'`` stretches or pads to the exact size.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    if mode == 'mmdet':
        return _fit_to_size(x, size)
    if distance > 0:
        return _repeat(x, 2 ** distance, size)
    return pool_same(x, 2 ** -distance)[..., :size[0], :size[1]]


def pool_top(x: Tensor, mode: str) -> Tensor:
    """Halve the coarsest map, for the level above it; a side of one pixel stays one pixel."""
    if mode == 'reference':
        return pool_same(x, 2)
    return F.max_pool2d(x, [min(2, side) for side in x.shape[-2:]])


def pool_same(x: Tensor, factor: int) -> Tensor:
    """Max-pool with kernel and stride ``factor`` to ceil(side / factor), as TensorFlow's padding 'SAME' does."""
    return _padded_max_pool(x, [factor, factor], [-side % factor for side in x.shape[-2:]], -math.inf)


def _fit_to_size(x: Tensor, size: Sequence[int]) -> Tensor:
    """Follow mmcv's merge cells, but compare height and width apart (mmcv compares them as tuples)."""
    enlarged = [max(have, want) for have, want in zip(x.shape[-2:], size, strict=True)]
    if enlarged != list(x.shape[-2:]):
        x = F.interpolate(x, size=enlarged, mode='nearest')
    kernel = [math.ceil(have / want) for have, want in zip(enlarged, size, strict=True)]
    if kernel == [1, 1]:
        return x
    spare = [k * want - have for k, want, have in zip(kernel, size, enlarged, strict=True)]
    return _padded_max_pool(x, kernel, spare, 0.0)


def _padded_max_pool(x: Tensor, kernel: list[int], spare: list[int], value: float) -> Tensor:
    if any(spare):
        top, left = spare[0] // 2, spare[1] // 2
        x = F.pad(x, (left, spare[1] - left, top, spare[0] - top), value=value)
    return max_pool(x, kernel)


def max_pool(x: Tensor, kernel: Sequence[int]) -> Tensor:
    """Max-pool without overlap; both sides are multiples of the kernel's."""
    if x.requires_grad or not x.is_cpu:
        return F.max_pool2d(x, kernel)
    # On a CPU max_pool2d takes ten times as long, as it also notes the place of each maximum, which gradients need.
    rows = x.unflatten(2, (-1, kernel[0])).amax(3)
    return rows.unflatten(3, (-1, kernel[1])).amax(4)


def _repeat(x: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Repeat each pixel ``factor`` times both ways, then cut off, or go on with the last pixel, up to ``size``."""
    x = F.interpolate(x, scale_factor=factor, mode='nearest')[..., :size[0], :size[1]]
    missing = [want - have for want, have in zip(size, x.shape[-2:], strict=True)]
    return F.pad(x, (0, missing[1], 0, missing[0]), mode='replicate') if any(missing) else x
