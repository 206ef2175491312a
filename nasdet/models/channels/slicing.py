"""Takes channels out of a network: by slices of its weights, or, to compare with, by zeros."""

from typing import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from nasdet.models.channels.graph import ChannelGraph, Layer
from nasdet.models.channels.widths import set_widths


def layer_widths(graph: ChannelGraph, widths: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the inputs and outputs that each layer has when the groups of a graph have other widths.

    Args:
        graph: Of the network.
        widths: New number of channels of groups by name, at least 1; groups that are not named keep theirs.

    Returns:
        ``[in_channels, out_channels]`` of each layer that changes, by its name.

    Raises:
        ValueError: There is no such group, or a width is less than 1.
    """
    unknown = sorted(set(widths) - set(graph.groups))
    if unknown:
        raise ValueError(f'this network has no group of channels {unknown[0]!r}; its groups are {list(graph.groups)}')
    small = sorted(name for name, width in widths.items() if width < 1)
    if small:
        raise ValueError(f'{small[0]} has width {widths[small[0]]}: a group keeps at least one channel')
    share = torch.ones(graph.num_channels, dtype=torch.float64)
    for name, width in widths.items():
        group = graph.groups[name]
        share[group.channels] = width / group.size
    table = {name: [round(share[layer.inputs].sum().item()), round(share[layer.outputs].sum().item())]
             for name, layer in graph.layers.items()}
    return {name: sizes for name, sizes in table.items()
            if sizes != [len(graph.layers[name].inputs), len(graph.layers[name].outputs)]}


@torch.no_grad()
def slice_channels(model: nn.Module, graph: ChannelGraph, alive: Tensor) -> None:
    """Remove channels from a network, in place.

    Args:
        model: The network that the graph is of.
        graph: Its graph.
        alive: Which channels stay, (num_channels,), bool; the fixed one does.

    Raises:
        ValueError: A layer would lose all channels.
    """
    for name, layer in graph.layers.items():
        inputs, outputs = alive[layer.inputs], alive[layer.outputs]
        if not inputs.any() or not outputs.any():
            raise ValueError(f'{name} would lose all its channels: keep at least one of each group')
        if inputs.all() and outputs.all():
            continue
        module = model.get_submodule(name)
        kept = {key: _kept(module, layer, key, tensor, inputs, outputs)
                for key, tensor in module.state_dict(keep_vars=False).items()}
        set_widths(module, [int(inputs.sum()), int(outputs.sum())])
        module.load_state_dict(kept)


def _kept(module: nn.Module, layer: Layer, key: str, tensor: Tensor, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return what stays of a parameter or buffer."""
    if tensor.ndim == 0:        # the number of batches that a batch norm has seen
        return tensor.clone()
    if layer.kind != 'dense' or key != 'weight':
        return tensor[outputs].clone()
    if isinstance(module, _ConvTransposeNd):
        return tensor[inputs][:, outputs].clone()
    return tensor[outputs][:, inputs].clone()


@torch.no_grad()
def silence_channels(model: nn.Module, graph: ChannelGraph, alive: Tensor) -> None:
    """Set channels to zero wherever a layer writes them, in place: what :func:`slice_channels` is measured by.

    Args:
        model: The network that the graph is of.
        graph: Its graph.
        alive: Which channels keep their values, (num_channels,), bool.
    """
    for name, layer in graph.layers.items():
        module, dead = model.get_submodule(name), ~alive[layer.outputs]
        for key in ('weight', 'bias') if layer.kind != 'carrier' else ():
            parameter = getattr(module, key)
            if parameter is not None and isinstance(module, _ConvTransposeNd) and key == 'weight':
                parameter[:, dead] = 0
            elif parameter is not None:
                parameter[dead] = 0
