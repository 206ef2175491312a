"""Gives a layer another width."""

from typing import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


def set_widths(layer: nn.Module, widths: Sequence[int]) -> None:
    """Give a layer other numbers of channels, and fresh weights.

    A depthwise convolution stays one, and a GroupNorm keeps the size of its groups.

    Args:
        layer: A convolution, a linear, a batch norm or a group norm layer, or a RoI extractor.
        widths: Its inputs and its outputs.

    Raises:
        ValueError: It is none of these.
    """
    inputs, outputs = widths
    if isinstance(layer, _ConvNd):
        if layer.groups == layer.in_channels:
            layer.groups = inputs
        layer.in_channels, layer.out_channels = inputs, outputs
        first, second = (inputs, outputs) if isinstance(layer, _ConvTransposeNd) else (outputs, inputs)
        _renew(layer, 'weight', (first, second // layer.groups, *layer.kernel_size))
    elif isinstance(layer, nn.Linear):
        layer.in_features, layer.out_features = inputs, outputs
        _renew(layer, 'weight', (outputs, inputs))
    elif isinstance(layer, _BatchNorm):
        layer.num_features = outputs
        for name in ('weight', 'running_mean', 'running_var'):
            _renew(layer, name, (outputs,))
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups = outputs * layer.num_groups // layer.num_channels
        layer.num_channels = outputs
        _renew(layer, 'weight', (outputs,))
    elif hasattr(layer, 'roi_layers'):
        layer.out_channels = outputs
        return
    else:
        raise ValueError(f'a {type(layer).__name__} cannot be given another width: only convolutions, linear, batch '
                         f'norm and group norm layers, and RoI extractors')
    _renew(layer, 'bias', (outputs,))
    layer.reset_parameters()


def _renew(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Replace a parameter or buffer, where the layer has it, by an empty one of another shape."""
    old = getattr(layer, name)
    if isinstance(old, nn.Parameter):
        setattr(layer, name, nn.Parameter(old.new_empty(shape), requires_grad=old.requires_grad))
    elif old is not None:
        setattr(layer, name, old.new_empty(shape))
