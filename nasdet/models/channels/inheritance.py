"""Carries weights over to a network of other widths."""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from nasdet.models.channels.graph import FIXED, ChannelGraph

NEW = -1        # the origin of a channel that has none


def choose_origin(target: ChannelGraph, source: ChannelGraph, importance: Tensor) -> Tensor:
    """Return for each channel of a network the one of another network whose weights it takes.

    Of a group that is narrower the most important channels go on, in their order; of a wider one all, and the rest
    are new.

    Args:
        target: Graph of the network that takes the weights.
        source: Graph of the network that has them, with the same groups.
        importance: Of each channel of the source, (num_channels,).

    Returns:
        Channel numbers of the source, or -1 for new channels, (num_channels of the target,).
    """
    origin = torch.full((target.num_channels,), NEW)
    origin[FIXED] = FIXED
    for name, group in target.groups.items():
        channels = source.groups[name].channels
        kept = importance[channels].argsort(descending=True, stable=True)[:group.size].sort().values
        origin[group.channels[:len(kept)]] = channels[kept]
    return origin


@torch.no_grad()
def inherit_weights(target: nn.Module, target_graph: ChannelGraph, source: nn.Module, source_graph: ChannelGraph,
                    origin: Tensor) -> None:
    """Give a network the weights of another of the same layers and other widths.

    What reads a new channel does so with weight zero, and what makes it keeps the weights that it has, so that a
    network that only became wider computes what it did.

    Args:
        target: Changed in place.
        target_graph: Its graph.
        source: The network that has the weights.
        source_graph: Its graph.
        origin: Of each channel of the target, as :func:`choose_origin` gives it.
    """
    state, old = target.state_dict(), source.state_dict()
    for key, tensor in state.items():
        layer, _, name = key.rpartition('.')
        if layer not in target_graph.layers or tensor.ndim == 0:
            tensor.copy_(old[key])
            continue
        wanted, had = target_graph.layers[layer], source_graph.layers[layer]
        rows = _positions(wanted.outputs, had.outputs, origin)
        columns = _positions(wanted.inputs, had.inputs, origin) if wanted.kind == 'dense' and name == 'weight' else None
        if columns is not None and isinstance(target.get_submodule(layer), _ConvTransposeNd):
            _copy(tensor.transpose(0, 1), old[key].transpose(0, 1), rows, columns)
        elif columns is not None and tensor.shape[1] != len(columns):      # a convolution in groups, which is fixed
            tensor.copy_(old[key])
        else:
            _copy(tensor, old[key], rows, columns)


def _positions(wanted: Tensor, had: Tensor, origin: Tensor) -> Tensor:
    """Return where each of a layer's channels was before, -1 where it was not.

    A channel that occurs several times (49 times behind regions of 7 x 7) does so in the same order in both.
    """
    places: dict[int, list[int]] = {}
    for position, number in enumerate(had.tolist()):
        places.setdefault(number, []).append(position)
    seen: dict[int, int] = {}
    found = []
    for number in origin[wanted].tolist():
        found.append(NEW if number == NEW else places[number][seen.get(number, 0)])
        seen[number] = seen.get(number, 0) + 1
    return torch.tensor(found)


def _copy(tensor: Tensor, old: Tensor, rows: Tensor, columns: Optional[Tensor]) -> None:
    """Copy what there was before; new columns are zero."""
    known = rows != NEW
    if columns is None:
        tensor[known] = old[rows[known]]
        return
    read = columns != NEW
    kept = tensor.new_zeros(int(known.sum()), *tensor.shape[1:])
    kept[:, read] = old[rows[known]][:, columns[read]]
    tensor[known] = kept
