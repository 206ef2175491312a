"""Folds what dead channels still contribute into the layers that read them, before they are removed.

A channel whose gamma is zero, or whose weights are, is the same for every image: the beta of its batch norm, or its
bias; behind a ReLU the positive part of that, and where several are added their sum. What a convolution or linear layer
makes of such a constant is a constant too, which its bias can take over, or the mean of the batch norm behind it. That
is exact for 1 x 1 convolutions and linear layers. Another convolution reads zeros beyond the border instead of the
constant; it gets what is right in the interior.
"""

from functools import partial
from typing import Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from nasdet.models.channels.graph import ChannelGraph
from nasdet.models.channels.running import run_network

IMAGES = 2
SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)        # of an image's sides: regions of all levels
TOLERANCE = 1e-5                                # relative: what rounding makes of one constant


@torch.no_grad()
def fold_channels(model: nn.Module, graph: ChannelGraph, alive: Tensor, input_shape: Sequence[int]) -> list[str]:
    """Silence dead channels, and let the layers that read them have their constants; in place.

    The constants are read off one run on noise: a channel that differs from image to image, or between the maps that a
    layer runs on, is not folded there.

    Args:
        model: The network that the graph is of.
        graph: Its graph.
        alive: Which channels stay, (num_channels,), bool.
        input_shape: (C, H, W) of an image.

    Returns:
        For each layer with a dead input that could not be folded its name and why, such as
        ``'head.conv: it has neither a bias nor a batch norm behind it'``.
    """
    norms = {layer.follows: model.get_submodule(name) for name, layer in graph.layers.items() if layer.follows}
    for name, layer in graph.layers.items():
        if layer.kind == 'dense':
            _silence(model.get_submodule(name), norms.get(name), ~alive[layer.outputs])
    problems = []
    for name, maps in _readings(model, graph, alive, input_shape).items():
        dead = ~alive[graph.layers[name].inputs]
        problem = _fold(model.get_submodule(name), norms.get(name), dead, maps)
        if problem:
            problems.append(f'{name}: {problem}')
    return problems


def _silence(layer: nn.Module, norm: Optional[_BatchNorm], dead: Tensor) -> None:
    """Set to zero what multiplies the dead outputs of a layer, and leave the constant that is added."""
    if norm is not None and norm.affine:
        norm.weight[dead] = 0
    elif isinstance(layer, _ConvTransposeNd):
        layer.weight[:, dead] = 0
    else:
        layer.weight[dead] = 0


def _readings(model: nn.Module, graph: ChannelGraph, alive: Tensor, input_shape: Sequence[int]) -> dict:
    """Return what each dense layer reads of dead channels, in evaluation mode: name -> (N, dead, ...) of each run."""
    found: dict[str, list[Tensor]] = {}

    def note(name: str, dead: Tensor, module: nn.Module, inputs: tuple) -> None:
        read = inputs[0].movedim(-1, 1) if isinstance(module, nn.Linear) else inputs[0]
        found.setdefault(name, []).append(read[:, dead])

    readers = [(name, ~alive[layer.inputs]) for name, layer in graph.layers.items() if layer.kind == 'dense']
    handles = [model.get_submodule(name).register_forward_pre_hook(partial(note, name, dead))
               for name, dead in readers if dead.any()]
    modes = {module: module.training for module in model.modules()}
    weight = next(model.parameters())
    images = torch.randn(IMAGES, *input_shape, generator=torch.Generator().manual_seed(0)).to(weight)
    try:
        for module in modes:        # not model.eval(): backbones override train()
            module.training = False
        run_network(model, images, _regions)
    finally:
        for module, mode in modes.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    return found


def _regions(extractor: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """Return regions of all sizes that fit into an image, so that every level is read that can be."""
    height, width = (side * extractor.featmap_strides[0] for side in maps[0].shape[2:])
    boxes = [[number, 0, 0, width * share, height * share] for share in SHARES for number in range(len(maps[0]))]
    return extractor(maps, maps[0].new_tensor(boxes))


def _fold(layer: nn.Module, norm: Optional[_BatchNorm], dead: Tensor, maps: list[Tensor]) -> str:
    """Move a layer's share of its dead inputs into its bias or the norm behind it; return what hinders, or ''."""
    constants, known = _constants(maps)
    if not constants.any() and known.all():
        return ''
    if isinstance(layer, _ConvTransposeNd):
        return 'a transposed convolution makes of a constant other values at other positions'
    if layer.bias is None and (norm is None or norm.running_mean is None):
        return 'it has neither a bias nor a batch norm behind it'
    folded = dead.nonzero().flatten()[known]
    kernel = layer.weight[0, 0].numel()
    share = layer.weight[:, folded].reshape(len(layer.weight), len(folded), kernel).sum(2) @ constants[known]
    if layer.bias is not None:
        layer.bias += share
    else:
        norm.running_mean -= share
    layer.weight[:, folded] = 0
    lost = int((~known).sum())
    return f'{lost} of its {len(known)} dead inputs are not the same for all images and maps' if lost else ''


def _constants(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the value of each dead input, (dead,), and whether it is the same for all images and in all runs."""
    values, known = [], torch.ones(maps[0].shape[1], dtype=torch.bool, device=maps[0].device)
    for read in maps:
        read = read.transpose(0, 1).flatten(2) if read.ndim > 2 else read.t()[..., None]    # (dead, N, positions)
        values.append(read.flatten(1).median(1).values)     # behind a padded depthwise convolution the border differs
        known &= _same(read, read[:, :1]).all(2).all(1) & _same(values[-1], values[0])
    return values[0], known


def _same(a: Tensor, b: Tensor) -> Tensor:
    return torch.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
