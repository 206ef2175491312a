"""Networks on the meta device: shapes and counts without memory or arithmetic."""

import copy
import warnings
from functools import partial
from typing import Any, Mapping, Sequence, Union

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import nn

Shape = tuple[int, int, int]

_SHAPES: dict[str, list[Shape]] = {}  # a search asks for the same backbone with every genotype


def build_on_meta(cfg: Mapping) -> nn.Module:
    """Build a network whose tensors have shapes and no data.

    A few networks read values while they are built (the drop path rates of Swin and PVT); these are built in memory,
    and :func:`run_on_meta` runs them all the same.

    Args:
        cfg: Its config; it is not changed, and nothing is loaded by its ``init_cfg``.
    """
    try:
        with torch.device('meta'):
            return build_in_memory(cfg)
    except RuntimeError as error:
        if 'meta tensors' not in str(error):
            raise
        return build_in_memory(cfg)


def build_in_memory(cfg: Mapping) -> nn.Module:
    """Build a network with random weights, in the scope in which a detector looks its parts up.

    The random numbers of the process go on as before.

    Args:
        cfg: Its config; it is not changed.
    """
    with DefaultScope.overwrite_default_scope('mmdet'), torch.random.fork_rng(devices=[]):
        return MODELS.build(copy.deepcopy(cfg))


def run_on_meta(module: nn.Module, input_shape: Union[Shape, Sequence[Shape]]) -> Any:
    """Run a network for one image in evaluation mode, on shapes only, and leave it as it was.

    Args:
        module: Takes one batch of images, or a tuple of maps; on any device.
        input_shape: (C, H, W) of an image, or a list of them, one a map.

    Returns:
        What it returns, on the meta device.
    """
    single = isinstance(input_shape[0], int)
    maps = tuple(torch.empty(1, *shape, device='meta') for shape in ([input_shape] if single else input_shape))
    tensors = {name: torch.empty_like(tensor, device='meta')
               for named in (module.named_parameters(), module.named_buffers()) for name, tensor in named}
    training = {child: child.training for child in module.modules()}
    try:
        for child in training:  # not module.eval(): backbones override train()
            child.training = False
        with torch.no_grad():
            return torch.func.functional_call(module, tensors, (maps[0] if single else maps,))
    finally:
        for child, mode in training.items():
            child.training = mode


def check_channels(detector: nn.Module, input_shape: Shape) -> None:
    """Refuse a detector in which a convolution is given other channels than its own.

    Backbone, neck and the heads that read the neck run on shapes only, as far as they can: an operator without a rule
    for shapes (mmcv's deformable convolution) ends the check there, with a warning. torch itself does not compare
    channels on the meta device.

    Args:
        detector: Of mmdet, single-stage or two-stage.
        input_shape: (C, H, W) of the image.

    Raises:
        ValueError: Names the convolution.
    """
    hooks = [module.register_forward_pre_hook(partial(_compare_channels, name))
             for name, module in detector.named_modules() if isinstance(module, nn.Conv2d)]
    try:
        run_on_meta(_DenseParts(detector), input_shape)
    except RuntimeError as error:
        reason = str(error).strip().partition('\n')[0]
        warnings.warn(f'whether the channels of this {type(detector).__name__} fit is not checked, as it does not run '
                      f'on shapes alone ({reason})', stacklevel=2)
    finally:
        for hook in hooks:
            hook.remove()


class _DenseParts(nn.Module):
    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(self, image: torch.Tensor) -> None:
        maps = self.detector.extract_feat(image)
        for name in ('rpn_head', 'bbox_head'):
            head = getattr(self.detector, name, None)
            if head is not None:
                head(maps)


def _compare_channels(name: str, convolution: nn.Conv2d, inputs: tuple) -> None:
    channels = inputs[0].shape[1]
    if channels != convolution.in_channels:
        raise ValueError(f'{name} reads {convolution.in_channels} channels, but is given {channels}')


def output_shapes(backbone: Mapping, input_shape: Shape) -> list[Shape]:
    """Return the shapes (C, H, W) of a backbone's maps, finest first, for one image; known at once when asked again.

    Args:
        backbone: The backbone's config.
        input_shape: (C, H, W) of the image.
    """
    key = f'{tuple(input_shape)} {backbone}'
    if key not in _SHAPES:
        try:
            outputs = run_on_meta(build_on_meta(backbone), tuple(input_shape))
        except RuntimeError:    # an operator without a rule for shapes, such as mmcv's deformable convolution
            outputs = _run_in_memory(backbone, tuple(input_shape))
        _SHAPES[key] = [tuple(output.shape[1:]) for output in outputs]
    return list(_SHAPES[key])


@torch.no_grad()
def _run_in_memory(cfg: Mapping, input_shape: Shape) -> Any:
    """Run a network for real on a black image, which takes seconds for a large one."""
    network = build_in_memory(cfg)
    network.eval()
    return network(torch.zeros(1, *input_shape))
