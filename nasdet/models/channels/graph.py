"""The channel-dependency graph of a network: a number for each set of tied channels, and groups of these."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

FIXED = 0       # the number of all channels that cannot be removed


@dataclass(frozen=True)
class Call:
    """One run of a layer, for one image.

    Args:
        read: Elements of each input channel.
        written: Elements of each output channel.
        macs: Multiply-adds for each pair of an input and an output of a dense layer, or each output of another.
    """

    read: float
    written: float
    macs: float = 0.0

    def times(self, number: float) -> 'Call':
        """Return what so many such runs are, as one."""
        return Call(self.read * number, self.written * number, self.macs * number)


@dataclass(frozen=True)
class Layer:
    """A layer with weights, and the number of the channel at each of its inputs and outputs.

    Args:
        name: Dotted name of the module.
        kind: ``'dense'`` (each output reads every input), ``'depthwise'`` or ``'norm'`` (each output reads its own
            input), ``'carrier'`` (no weights, but an attribute ``out_channels``: a RoI extractor).
        inputs: Channel numbers, (in_channels,); 49 inputs of a linear layer behind regions of 7 x 7 have one number.
        outputs: Channel numbers, (out_channels,).
        calls: Its runs: several where maps share it.
        weights: Weights for each pair of an input and an output of a dense layer, or each output of another.
        follows: Of a batch norm the name of the layer whose output alone it reads; else None.
    """

    name: str
    kind: str
    inputs: Tensor
    outputs: Tensor
    calls: tuple[Call, ...] = ()
    weights: float = 0.0
    follows: Optional[str] = None

    @property
    def macs(self) -> float:
        """Multiply-adds of all runs for one image, for each pair or output."""
        return sum(call.macs for call in self.calls)


@dataclass(frozen=True)
class Group:
    """Channels that occur in the same layers: the unit of a table of widths.

    Args:
        name: Of the first layer that produces them; with ``[0]``, ``[1]``, ... where a layer's outputs are of several
            groups.
        channels: Their numbers, (size,).
        producers: Names of the dense layers whose outputs they are.
        consumers: Names of the dense layers that read them.
        passes: Names of the norm layers and depthwise convolutions that they pass.
        step: Outputs of its first producer that one number stands for: 1, but with a GroupNorm the size of its groups.
    """

    name: str
    channels: Tensor
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    passes: tuple[str, ...]
    step: int

    @property
    def size(self) -> int:
        """Number of channels that can be removed one by one."""
        return len(self.channels)


class ChannelGraph:
    """Which channels of a network live and die together.

    Channel number 0 stands for all that are fixed: the image, the network's outputs, and what passes an operation
    that mixes channels in a way that this graph does not follow.

    Args:
        layers: In the order of their first run, with channel numbers from 0 to ``num_channels - 1``.
        num_channels: How many numbers there are.
        stops: What fixed the channels that it reads: ``'softmax in bbox_head'``.
        traffic: Elements of one image that operations without weights read and write, of each channel,
            (num_channels,).
    """

    def __init__(self, layers: dict[str, Layer], num_channels: int, stops: tuple[str, ...], traffic: Tensor):
        self.layers = layers
        self.num_channels = num_channels
        self.stops = stops
        self.traffic = traffic
        self.groups = {group.name: group for group in _groups(layers, num_channels)}

    def group_of(self, layer: str) -> Group:
        """Return the one group that all outputs of a layer are of.

        Raises:
            KeyError: The outputs are fixed, or of several groups.
        """
        numbers = self.layers[layer].outputs
        for group in self.groups.values():
            if len(numbers) and torch.isin(numbers, group.channels).all():
                return group
        raise KeyError(f'the outputs of {layer} are fixed, or of several groups')

    def all_alive(self) -> Tensor:
        """Return a mask of all channels, (num_channels,)."""
        return torch.ones(self.num_channels, dtype=torch.bool)


def resolve(layers: dict[str, Layer], atoms: int, ties: list[tuple[Tensor, Tensor]],
            stops: tuple[str, ...], traffic: list[tuple[Tensor, float]]) -> ChannelGraph:
    """Return the graph of layers whose inputs and outputs have provisional numbers, some of them tied.

    Args:
        layers: With provisional numbers, of which 0 is what is fixed.
        atoms: How many provisional numbers there are.
        ties: Pairs of tensors of provisional numbers that belong together element by element.
        stops: Passed on.
        traffic: Provisional numbers, and the elements that each of them stands for, of what is read and written
            without weights.
    """
    rows, columns = (np.concatenate([np.empty(0, int), *(pair[side].numpy() for pair in ties)]) for side in (0, 1))
    edges = coo_matrix((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(atoms, atoms))
    _, label = connected_components(edges, directed=False)
    _, first = np.unique(label, return_index=True)      # of each component its first atom: the order of the network
    rank = np.empty(len(first), int)
    rank[label[np.sort(first)]] = np.arange(len(first))
    number = torch.from_numpy(rank[label])
    resolved = {name: Layer(**{**vars(layer), 'inputs': number[layer.inputs], 'outputs': number[layer.outputs]})
                for name, layer in layers.items()}
    elements = torch.zeros(len(first), dtype=torch.float64)
    for provisional, each in traffic:
        elements.index_add_(0, number[provisional], torch.full((len(provisional),), each, dtype=torch.float64))
    return ChannelGraph(resolved, len(first), stops, elements)


def _groups(layers: dict[str, Layer], num_channels: int) -> list[Group]:
    """Return the groups in the order of the network."""
    roles: list[list[tuple[str, str]]] = [[] for _ in range(num_channels)]
    for name, layer in layers.items():
        sides = dict(producer=layer.outputs, consumer=layer.inputs) if layer.kind == 'dense' else \
            {'pass': layer.outputs} if layer.kind != 'carrier' else {}
        for role, numbers in sides.items():
            for number in numbers.unique().tolist():
                roles[number].append((role, name))
    members: dict[tuple, list[int]] = defaultdict(list)
    for number in range(FIXED + 1, num_channels):
        members[tuple(roles[number])].append(number)
    first = [next(name for role, name in key if role == 'producer') for key in members]
    names = [name if first.count(name) == 1 else f'{name}[{first[:index].count(name)}]'
             for index, name in enumerate(first)]
    return [Group(name, torch.tensor(numbers), *(_of(key, role) for role in ('producer', 'consumer', 'pass')),
                  step=int((layers[layer].outputs == numbers[0]).sum()))
            for name, layer, (key, numbers) in zip(names, first, members.items(), strict=True)]


def _of(roles: tuple, wanted: str) -> tuple[str, ...]:
    return tuple(name for role, name in roles if role == wanted)
