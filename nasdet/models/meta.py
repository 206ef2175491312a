"""Networks on the meta device: shapes and counts without memory or arithmetic."""

import copy
from typing import Mapping, Sequence

import torch
from mmdet.registry import MODELS
from torch import nn

_SHAPES: dict[str, list] = {}       # a search asks for the same backbone with every genotype


def build_on_meta(cfg: Mapping) -> nn.Module:
    """Build a network whose tensors have shapes and no data.

    Args:
        cfg: Its config; it is not changed, and nothing is loaded by its ``init_cfg``.
    """
    with torch.device('meta'):
        return MODELS.build(copy.deepcopy(cfg))


def output_shapes(backbone: Mapping, input_shape: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the shapes (C, H, W) of a backbone's maps, finest first, for one image.

    Args:
        backbone: The backbone's config.
        input_shape: (C, H, W) of the image.
    """
    key = f'{tuple(input_shape)} {backbone}'
    if key not in _SHAPES:
        module = build_on_meta(backbone).eval()
        with torch.no_grad():
            outputs = module(torch.empty(1, *input_shape, device='meta'))
        _SHAPES[key] = [tuple(output.shape[1:]) for output in outputs]
    return list(_SHAPES[key])
