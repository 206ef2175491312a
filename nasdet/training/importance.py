"""How much each channel of a network matters, by MorphNet's measures.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4; what the paper leaves open as in the authors' library, morph-net.
"""

from typing import Collection, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from nasdet.models.channels import ChannelGraph, Group, Layer


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
        groups: Names of the groups that may shrink; the others are as if frozen. None: all.
    """

    def __init__(self, model: nn.Module, graph: ChannelGraph, gamma_threshold: float = 0.01,
                 lasso_threshold: float = 0.01, groups: Optional[Collection[str]] = None):
        self.graph = graph
        self.kinds = {name: _kind(model, graph, group) if groups is None or name in groups else 'excluded'
                      for name, group in graph.groups.items()}
        kind_of = ['fixed'] * graph.num_channels
        self.group_of = torch.zeros(graph.num_channels, dtype=torch.long)       # 0: fixed
        for index, (name, group) in enumerate(graph.groups.items(), start=1):
            self.group_of[group.channels] = index
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

    def largest(self, values: Sequence[Tensor]) -> float:
        """Return the largest importance of what is given in the place of :attr:`parameters`, such as their gradients.

        Args:
            values: One for each of :attr:`parameters`, of its shape.
        """
        gammas, filters = values[:len(self.gammas)], values[len(self.gammas):]
        norms = [_filter_norms(module, value) for (module, _, _), value in zip(self.filters, filters, strict=True)]
        return max(float(value.abs().max()) for value in [*gammas, *norms])

    def __call__(self) -> Tensor:
        """Return the importance of each channel, (num_channels,), with gradients to the weights."""
        gammas = [module.weight.abs()[_on(module, chosen)] for module, chosen, _ in self.gammas]
        filters = [_filter_norms(module, module.weight)[_on(module, chosen)] for module, chosen, _ in self.filters]
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
        counts = alive.new_zeros(len(self.kinds) + 1, dtype=torch.long)
        counts.index_add_(0, self.group_of.to(alive.device), alive.long())
        # A group without channels would cost its neighbours nothing, and never come back.
        for index in (counts[1:] == 0).nonzero().flatten().tolist():
            channels = list(self.graph.groups.values())[index].channels.to(alive.device)
            alive[channels[importance[channels].argmax()]] = True
        return alive


def _kind(model: nn.Module, graph: ChannelGraph, group: Group) -> str:
    """Return ``'gamma'``, ``'lasso'`` or ``'frozen'``."""
    norms = {layer.follows: model.get_submodule(layer.name) for name, layer in graph.layers.items()
             if name in group.passes and layer.follows and model.get_submodule(name).weight is not None}
    by_gamma = set(group.producers) <= norms.keys()
    measured = [norms[name] if by_gamma else model.get_submodule(name) for name in group.producers]
    if not all(module.weight.requires_grad for module in measured):
        return 'frozen'
    return 'gamma' if by_gamma else 'lasso'


def _filter_norms(layer: nn.Module, weight: Tensor) -> Tensor:
    """Return the root mean square of the weights of each output of a layer, (out_channels,)."""
    weight = (weight.transpose(0, 1) if isinstance(layer, _ConvTransposeNd) else weight).flatten(1)
    return torch.linalg.vector_norm(weight, dim=1) / weight.shape[1] ** 0.5


def _on(module: nn.Module, chosen: Tensor) -> Tensor:
    return chosen.to(module.weight.device)
