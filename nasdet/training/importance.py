"""How much each channel of a network matters, by MorphNet's measures.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4; what the paper leaves open as in the authors' library, morph-net.
"""

from typing import Collection, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from nasdet.models.channels import ChannelGraph, Group, Layer

NEVER = -1.0        # the threshold of a channel that is alive whatever its weights


class Importance:
    """How much each channel matters, read from the weights: small ones are dead.

    A group of channels is measured by the batch norms that follow the layers which produce it, as abs(gamma); where a
    producer has none, by the weights of all its producers, as the root mean square of what makes an output (group
    lasso). Of several producers the largest counts. A group of which a batch norm (or, without one, a layer) is frozen
    cannot shrink: its importance is 0 to the penalty, and it is alive.

    A gamma starts at 1, but how large weights start is each layer's own affair (MMDetection draws those of its RPN with
    a standard deviation of 0.01). So their threshold is a share of what their group started with.

    Args:
        model: The network that the graph is of, not wrapped, on the device on which it is trained.
        graph: Its graph.
        gamma_threshold: A channel with a smaller abs(gamma) is dead.
        lasso_threshold: One with a smaller root mean square is, as a share of the mean of its group at the start.
        groups: Names of the groups that may shrink; the others are as if frozen. None: all.
        starts: The means at the start, by group, where the training began before; None: it begins now.
    """

    def __init__(self, model: nn.Module, graph: ChannelGraph, gamma_threshold: float = 0.01,
                 lasso_threshold: float = 0.1, groups: Optional[Collection[str]] = None,
                 starts: Optional[Mapping[str, float]] = None):
        device = next(model.parameters()).device
        self.graph = graph
        self.kinds = {name: _kind(model, graph, group) if groups is None or name in groups else 'excluded'
                      for name, group in graph.groups.items()}
        kind_of = ['fixed'] * graph.num_channels
        group_of = torch.zeros(graph.num_channels, dtype=torch.long)       # 0: fixed
        for index, (name, group) in enumerate(graph.groups.items(), start=1):
            group_of[group.channels] = index
            for number in group.channels.tolist():
                kind_of[number] = self.kinds[name]
        self._group_of = group_of.to(device)
        # Not the norm layer behind a depthwise convolution: that passes channels on, and is no producer (the library).
        norms = [layer for layer in graph.layers.values()
                 if layer.follows and graph.layers[layer.follows].kind == 'dense']
        self.gammas = self._select(model, kind_of, 'gamma', norms)
        self.filters = self._select(model, kind_of, 'lasso',
                                    [layer for layer in graph.layers.values() if layer.kind == 'dense'])
        self._chosen, self._channels = _flat(self.gammas + self.filters, device)
        self.starts = dict(starts) if starts else self._starts()
        self.thresholds = self._thresholds(gamma_threshold, lasso_threshold).to(device)

    def _select(self, model: nn.Module, kind_of: list[str], kind: str, layers: list[Layer]) -> list[tuple]:
        """Return (module, its outputs of that kind, their channels) of the layers that have such outputs."""
        wanted = torch.tensor([each == kind for each in kind_of])
        return [(model.get_submodule(layer.name), chosen, layer.outputs[chosen]) for layer in layers
                if len(chosen := wanted[layer.outputs].nonzero().flatten())]

    @torch.no_grad()
    def _starts(self) -> dict[str, float]:
        """Return the mean importance of each group that is measured by its weights."""
        if not self.filters:
            return {}
        importance = self()
        return {name: importance[self.graph.groups[name].channels.to(importance.device)].mean().item()
                for name, kind in self.kinds.items() if kind == 'lasso'}

    def _thresholds(self, gamma: float, lasso: float) -> Tensor:
        thresholds = torch.full((self.graph.num_channels,), NEVER)
        for name, kind in self.kinds.items():
            if kind in ('gamma', 'lasso'):
                thresholds[self.graph.groups[name].channels] = gamma if kind == 'gamma' else lasso * self.starts[name]
        return thresholds

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are read."""
        return [module.weight for module, _, _ in self.gammas + self.filters]

    def __call__(self) -> Tensor:
        """Return the importance of each channel, (num_channels,), with gradients to the weights."""
        return self.of(self.parameters)

    def of(self, values: Sequence[Tensor]) -> Tensor:
        """Return the importance of what is given in the place of :attr:`parameters`, such as their gradients.

        Args:
            values: One for each of :attr:`parameters`, of its shape.

        Returns:
            Of each channel, (num_channels,).
        """
        gammas, filters = values[:len(self.gammas)], values[len(self.gammas):]
        norms = [_filter_norms(module, value) for (module, _, _), value in zip(self.filters, filters, strict=True)]
        # One operation for all layers: there are hundreds, and this runs in each step.
        each = torch.cat([value.float() for value in [*gammas, *norms]]).abs()[self._chosen]
        return each.new_zeros(self.graph.num_channels).scatter_reduce(0, self._channels, each, 'amax')

    @torch.no_grad()
    def alive(self, importance: Tensor) -> Tensor:
        """Return which channels are above their threshold, (num_channels,), bool; of each group the largest is.

        A group without channels would cost its neighbours nothing, and never come back.

        Args:
            importance: As this object gives it.
        """
        alive = importance > self.thresholds
        number = len(self.kinds) + 1
        largest = importance.new_zeros(number).scatter_reduce(0, self._group_of, importance, 'amax')
        places = torch.arange(len(importance), device=importance.device)
        places = torch.where(importance == largest[self._group_of], places, len(importance))
        first = places.new_full((number,), len(importance)).scatter_reduce(0, self._group_of, places, 'amin')
        return alive.index_fill(0, first, True)


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


def _flat(selected: list[tuple], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, for the outputs of all layers one after another, which are chosen, and the channel of each of these."""
    chosen, channels, first = [torch.empty(0, dtype=torch.long)], [torch.empty(0, dtype=torch.long)], 0
    for module, outputs, numbers in selected:
        chosen.append(outputs + first)
        channels.append(numbers)
        is_transposed = isinstance(module, _ConvTransposeNd)
        first += module.weight.shape[1 if is_transposed else 0]
    return torch.cat(chosen).to(device), torch.cat(channels).to(device)
