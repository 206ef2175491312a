"""What a network costs by its alive channels, and the penalty that makes channels die where they are dear.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4.
"""

from typing import Callable

import torch
from torch import Tensor, nn

from nasdet.models.channels import ChannelGraph, Layer


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


class Importance:
    """How much each channel matters, read from the weights: small ones are dead.

    A group of channels is measured by the batch norms that follow the layers which produce it, as abs(gamma); where a
    producer has none, by the weights of all its producers, as the root mean square of what makes an output (group
    lasso). Of several producers the largest counts. A group of which a batch norm (or, without one, a layer) is frozen
    cannot shrink: its importance is 0 to the penalty, and it is alive.

    Args:
        model: The network that the graph is of, not wrapped.
        graph: Its graph.
        gamma_threshold: A channel with a smaller abs(gamma) is dead.
        lasso_threshold: One with a smaller root mean square is.
    """

    def __init__(self, model: nn.Module, graph: ChannelGraph, gamma_threshold: float = 0.01,
                 lasso_threshold: float = 0.01):
        self.graph = graph
        self.kinds = {name: _kind(model, graph, group) for name, group in graph.groups.items()}
        kind_of = ['fixed'] * graph.num_channels
        for name, group in graph.groups.items():
            for number in group.channels.tolist():
                kind_of[number] = self.kinds[name]
        self.thresholds = torch.tensor([dict(gamma=gamma_threshold, lasso=lasso_threshold).get(kind, -1.0)
                                        for kind in kind_of])
        # Not the norm layer behind a depthwise convolution: that passes channels on, and is no producer (the library).
        norms = [layer for layer in graph.layers.values()
                 if layer.follows and graph.layers[layer.follows].kind == 'dense']
        self.gammas = self._select(model, kind_of, 'gamma', norms)
        self.filters = self._select(model, kind_of, 'lasso',
                                    [layer for layer in graph.layers.values() if layer.kind == 'dense'])

    def _select(self, model: nn.Module, kind_of: list[str], kind: str, layers: list[Layer]) -> list[tuple]:
        """Return (module, its outputs of that kind, their channels) of the layers that have such outputs."""
        wanted = torch.tensor([each == kind for each in kind_of])
        return [(model.get_submodule(layer.name), chosen, layer.outputs[chosen]) for layer in layers
                if len(chosen := wanted[layer.outputs].nonzero().flatten())]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are read."""
        return [module.weight for module, _, _ in self.gammas + self.filters]

    def __call__(self) -> Tensor:
        """Return the importance of each channel, (num_channels,), with gradients to the weights."""
        gammas = [module.weight.abs()[_on(module, chosen)] for module, chosen, _ in self.gammas]
        filters = [_filter_norms(module)[_on(module, chosen)] for module, chosen, _ in self.filters]
        values = torch.cat([value.float() for value in gammas + filters])
        channels = torch.cat([channels for _, _, channels in self.gammas + self.filters]).to(values.device)
        return values.new_zeros(self.graph.num_channels).scatter_reduce(0, channels, values, 'amax')

    @torch.no_grad()
    def alive(self, importance: Tensor) -> Tensor:
        """Return which channels are above their threshold, (num_channels,), bool; of each group the largest is.

        Args:
            importance: As this object gives it.
        """
        alive = importance > self.thresholds.to(importance.device)
        for group in self.graph.groups.values():
            channels = group.channels.to(alive.device)
            if not alive[channels].any():       # a group without channels would cost nothing, and never come back
                alive[channels[importance[channels].argmax()]] = True
        return alive


def _kind(model: nn.Module, graph: ChannelGraph, group) -> str:
    """Return ``'gamma'``, ``'lasso'`` or ``'frozen'``."""
    norms = {layer.follows: model.get_submodule(layer.name) for name, layer in graph.layers.items()
             if name in group.passes and layer.follows and model.get_submodule(name).weight is not None}
    by_gamma = set(group.producers) <= norms.keys()
    measured = [norms[name] if by_gamma else model.get_submodule(name) for name in group.producers]
    if not all(module.weight.requires_grad for module in measured):
        return 'frozen'
    return 'gamma' if by_gamma else 'lasso'


def _filter_norms(layer: nn.Module) -> Tensor:
    """Return the root mean square of the weights of each output of a layer, (out_channels,)."""
    weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.modules.conv._ConvTransposeNd) else layer.weight
    weight = weight.flatten(1)
    return torch.linalg.vector_norm(weight, dim=1) / weight.shape[1] ** 0.5


def _on(module: nn.Module, chosen: Tensor) -> Tensor:
    return chosen.to(module.weight.device)
