"""What a network costs by its alive channels, and the penalty that makes channels die where they are dear.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4.
"""

from typing import Callable

import torch
from torch import Tensor

from nasdet.models.channels.graph import ChannelGraph, Layer


def _macs(layer: Layer) -> float:
    return layer.macs


def _weights(layer: Layer) -> float:
    return layer.weights if layer.kind != 'norm' else 0.0


# Cost of one pair of an alive input and output of a dense layer, or of one alive output of a depthwise convolution.
TARGETS: dict[str, Callable[[Layer], float]] = dict(macs=_macs, params=_weights)


class Resource:
    """Multiply-adds or weights of a network as a bilinear function of its alive channels (the paper's equation 3).

    Args:
        graph: Of the network.
        target: ``'macs'``, multiply-adds of one image, or ``'params'``, weights of convolutions and linear layers
            (without biases and norm layers).

    Raises:
        ValueError: Unknown target.
    """

    def __init__(self, graph: ChannelGraph, target: str = 'macs'):
        if target not in TARGETS:
            raise ValueError(f'MorphNet knows the targets {", ".join(TARGETS)}, not {target!r}')
        layers = [layer for layer in graph.layers.values() if TARGETS[target](layer)]
        self.coefficients = torch.tensor([TARGETS[target](layer) for layer in layers], dtype=torch.float64)
        self.is_dense = torch.tensor([layer.kind == 'dense' for layer in layers])
        self.inputs, self.reader = _flat([layer.inputs for layer in layers])
        self.outputs, self.writer = _flat([layer.outputs for layer in layers])

    def cost(self, alive: Tensor) -> float:
        """Return the cost of the alive channels, (num_channels,), bool or the number of each that there are."""
        counts = alive.double().cpu()
        inputs, outputs = self._sums(counts)
        return float((self.coefficients * torch.where(self.is_dense, inputs * outputs, outputs)).sum())

    def penalty(self, importance: Tensor, alive: Tensor) -> Tensor:
        """Return G, to be added to the loss with a factor: each channel's importance times what it costs now.

        A layer's alive inputs weigh the importance of its outputs, and the other way round; no gradient flows through
        the counts (the paper's equation 4). With importance 1 everywhere, G is twice the cost.

        Args:
            importance: Of each channel, (num_channels,), not negative.
            alive: Which channels count, (num_channels,), bool.

        Returns:
            A scalar of the importance's type and device.
        """
        inputs, outputs = self._sums(alive.to(importance))
        read, written = self._sums(importance)
        dense = self.is_dense.to(importance.device)
        terms = torch.where(dense, inputs, 1) * written + torch.where(dense, outputs, 1) * read
        return (self.coefficients.to(importance) * terms).sum()

    def _sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each layer the sums of its inputs' and its outputs' values."""
        return tuple(values.new_zeros(len(self.coefficients)).index_add(0, layer.to(values.device), values[channels])
                     for channels, layer in ((self.inputs, self.reader), (self.outputs, self.writer)))


def _flat(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the concatenation of some tensors, and for each element the number of the tensor it is of."""
    number = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    return torch.cat(parts), number
