"""What a network costs by its alive channels, and the penalty that makes channels die where they are dear.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4.
"""

import torch
from torch import Tensor, nn

from nasdet.models.channels.graph import ChannelGraph
from nasdet.models.channels.targets import TargetConfig, build_target


class Resource(nn.Module):
    """What a network costs as a function of its alive channels (the paper's equation 3).

    It is a module for its constants to move to a device with ``to``; it computes in double precision.

    Args:
        graph: Of the network.
        target: ``'macs'``, multiply-adds of one image; ``'params'``, weights of convolutions and linear layers;
            ``'activations'``, elements that these write; or ``dict(type='latency', peak=..., bandwidth=...)``, seconds
            (:mod:`~nasdet.models.channels.targets`).

    Raises:
        ValueError: Unknown target.
    """

    def __init__(self, graph: ChannelGraph, target: TargetConfig = 'macs'):
        super().__init__()
        target = build_target(target)
        self.unit = target.unit
        rows = [(layer, ways) for layer in graph.layers.values() for ways in target.charges(layer)
                if any(any(vars(charge).values()) for charge in ways)]
        layers = list(dict.fromkeys(layer.name for layer, _ in rows))
        self.num_layers = len(layers)
        # Of each cost: the ways to count it, of which the largest does, with what a pair, an input, an output costs.
        charges = torch.tensor([[list(vars(charge).values()) for charge in ways] for _, ways in rows],
                               dtype=torch.float64)
        self._keep(
            pair=charges[..., 0], read=charges[..., 1], written=charges[..., 2],
            is_dense=torch.tensor([[layer.kind == 'dense'] for layer, _ in rows]),
            layer=torch.tensor([layers.index(layer.name) for layer, _ in rows]),
            moved=graph.traffic * target.element)
        for side in ('inputs', 'outputs'):
            channels, owner = _flat([getattr(graph.layers[name], side) for name in layers])
            self._keep(**{side: channels, f'{side}_owner': owner})

    def _keep(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def cost(self, alive: Tensor) -> float:
        """Return the cost of the alive channels, (num_channels,), bool or the number of each that there are."""
        counts = alive.to(self.moved)
        return float(self._ways(*self._sums(counts)).amax(1).sum() + (self.moved * counts).sum())

    def penalty(self, importance: Tensor, alive: Tensor) -> Tensor:
        """Return G, to be added to the loss with a factor: each channel's importance times what it costs now.

        A layer's alive inputs weigh the importance of its outputs, and the other way round; no gradient flows through
        the counts (the paper's equation 4). Of a cost that is the larger of two, the larger counts. With importance 1
        everywhere, G is twice the cost where each pair of channels costs, and the cost where each channel does.

        Args:
            importance: Of each channel, (num_channels,), not negative.
            alive: Which channels count, (num_channels,), bool.

        Returns:
            A scalar of the importance's type and device.
        """
        values = importance.to(self.moved)
        inputs, outputs = self._sums(alive.to(self.moved))
        largest = self._ways(inputs, outputs).argmax(1, keepdim=True)
        pair, read, written = (cost.gather(1, largest) for cost in (self.pair, self.read, self.written))
        r_in, r_out = self._sums(values)
        pairs = torch.where(self.is_dense, inputs, 1) * r_out + torch.where(self.is_dense, outputs, 1) * r_in
        return ((pair * pairs + read * r_in + written * r_out).sum() + (self.moved * values).sum()).to(importance)

    def _ways(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return what each cost is by each way to count it, (costs, ways)."""
        pairs = torch.where(self.is_dense, inputs, 1) * outputs
        return self.pair * pairs + self.read * inputs + self.written * outputs

    def _sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each cost the sums of its layer's inputs' and outputs' values, (costs, 1)."""
        return tuple(values.new_zeros(self.num_layers, 1).index_add(0, owner, values[channels, None])[self.layer]
                     for channels, owner in ((self.inputs, self.inputs_owner), (self.outputs, self.outputs_owner)))


def _flat(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the concatenation of some tensors, and for each element the number of the tensor it is of."""
    number = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    return torch.cat(parts), number
