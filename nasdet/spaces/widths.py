"""The widths of all layers of a given network, as MorphNet changes them.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798.
"""

import bisect
import copy
import math
import warnings
from functools import cached_property
from typing import Any, Mapping, Optional, Sequence, Union

from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces.base import Choice, Space
from nasdet.spaces.width_tables import set_width

CLOSE = 0.98        # of a budget that an expansion has to use, where the widths allow it
Target = Union[str, Mapping]
_GRAPHS: dict[str, Any] = {}        # a search asks for those of the same two or three configs with every genotype


@SPACES.register_module()
class WidthSpace(Space):
    """How many channels each layer of a network has; topology and depth are those of the network.

    Channels that belong together have one width: a decision for each group of channels of
    :mod:`nasdet.models.channels`, named by the first layer that produces it (``'backbone.layer1.0.conv3'`` is the width
    of a ResNet's first stage). Every layer of backbone, neck and heads may so have a width of its own, each
    convolution of a head's towers too, and the linear layers behind regions. What predicts classes and boxes keeps its
    outputs, and channels that pass a depthwise convolution are two at least.

    A genotype is applied as tables of widths (:func:`~nasdet.models.narrowed.narrowed`) in the configs of backbone,
    neck and heads. Such a part cannot take weights of the whole network, so ``init_cfg`` of type ``Pretrained`` is
    dropped there, and with it ``frozen_stages`` and ``norm_eval``, which are for pretrained weights.

    Args:
        model: Model config of the network, a detector's or a classifier's; in a search ``_base_.model``.
        input_shape: (C, H, W) of the image for which costs are counted.
        parts: Only groups whose names begin so, such as ``('backbone',)``; None: all.
        divisor: Every width is a multiple of it, or that of the network.
        largest: Largest width, as a multiple of that of the network.
    """

    def __init__(self, model: Mapping, input_shape: Sequence[int] = (3, 640, 640),
                 parts: Optional[Sequence[str]] = None, divisor: int = 1, largest: float = 4.0):
        self.model = ConfigDict(copy.deepcopy(model))
        self.input_shape = tuple(input_shape)
        self.parts = None if parts is None else tuple(parts)
        self.divisor, self.largest = divisor, largest
        self._resources: dict[str, Any] = {}

    @cached_property
    def channels(self):
        """The network's :class:`~nasdet.models.channels.ChannelGraph`."""
        return self._graph_of(self.model)

    def _graph_of(self, model: Mapping):
        """Return the graph of a model config, which may have other classes than the space's own; traced once."""
        from nasdet.models.channels import trace_channels  # brings torch and mmdet
        from nasdet.models.meta import build_on_meta
        key = f'{self.input_shape} {model}'
        if key not in _GRAPHS:
            _GRAPHS[key] = trace_channels(build_on_meta(model), self.input_shape)
        return _GRAPHS[key]

    @cached_property
    def groups(self) -> dict:
        """The groups of channels whose widths are searched, by name.

        Raises:
            ValueError: There are none.
        """
        groups = {name: group for name, group in self.channels.groups.items()
                  if self.parts is None or name.startswith(self.parts)}
        if not groups:
            raise ValueError(f'no group of channels of this network begins with one of {self.parts}; its groups are '
                             f'{list(self.channels.groups)}')
        return groups

    @cached_property
    def vocab(self) -> dict:
        """Every width, whose token is one less."""
        return dict(width=tuple(range(1, max(choice.legal[-1] for choice in self._choices) + 2)))

    @cached_property
    def _choices(self) -> list[Choice]:
        return [Choice(name, 'width', self._legal(group)) for name, group in self.groups.items()]

    def _legal(self, group) -> tuple[int, ...]:
        """Return the tokens of the widths that a group may have."""
        own, unit = group.size * group.step, math.lcm(group.step, self.divisor)
        widths = {own, *range(unit, int(own * max(self.largest, 1)) + 1, unit)}
        if own > 1 and any(self.channels.layers[name].kind == 'depthwise' for name in group.passes):
            widths.discard(1)       # of one channel a depthwise convolution is a dense one, which ties nothing
        return tuple(sorted(width - 1 for width in widths))

    # ---- an architecture as decisions

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``: the width of the next group."""
        return self._choices[len(prefix)] if len(prefix) < len(self._choices) else None

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        widths = {choice.name: token + 1 for choice, token in self.walk(tuple(tokens))}
        if len(widths) != len(self._choices):
            raise ValueError(f'{self.name}: {len(self._choices)} widths take as many tokens, not {len(widths)}')
        return Genotype(self.name, dict(widths=widths))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the tokens of a genotype; ValueError where this space does not hold it."""
        widths = genotype.value.get('widths', {})
        if set(widths) != set(self.groups):
            strange = sorted(set(widths) ^ set(self.groups))[0]
            raise ValueError(f'a genotype of this {self.name} has a width for each of {list(self.groups)}; look at '
                             f'{strange!r}')
        for choice in self._choices:
            if widths[choice.name] - 1 not in choice.legal:
                raise ValueError(f'{choice.name} has width {widths[choice.name]}; widths here are '
                                 f'{choice.legal[0] + 1} to {choice.legal[-1] + 1} in steps of '
                                 f'{math.lcm(self.groups[choice.name].step, self.divisor)}')
        return tuple(widths[choice.name] - 1 for choice in self._choices)

    def size(self) -> int:
        """Return the number of genotypes."""
        return math.prod(len(choice.legal) for choice in self._choices)

    def seed(self) -> Genotype:
        """Return the genotype with the widths of the network that the space was made of."""
        return Genotype(self.name, dict(widths={name: group.size * group.step for name, group in self.groups.items()}))

    def rounded(self, widths: Mapping[str, float]) -> Genotype:
        """Return the genotype with the nearest widths that the space has.

        Args:
            widths: Channels of each group, by name; what is of no group of the space is passed over.
        """
        return Genotype(self.name, dict(widths={choice.name: 1 + _nearest(choice.legal, widths[choice.name] - 1)
                                                for choice in self._choices}))

    # ---- networks

    def check_model(self, model: Mapping) -> None:
        """Refuse a model config with other groups of channels than the space was made of.

        Raises:
            ValueError: Names the first group that differs.
        """
        other = self._graph_of(model)
        sizes = [{name: group.size for name, group in graph.groups.items()} for graph in (self.channels, other)]
        if sizes[0] != sizes[1]:
            name = sorted(sizes[0].items() ^ sizes[1].items())[0][0]
            raise ValueError(f'the widths of this {self.name} are of another network: {name} has '
                             f'{sizes[0].get(name, "no")} channels there and {sizes[1].get(name, "no")} in this one; '
                             f'give the space the model config that is searched')

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a copy of a model config with the widths of a genotype.

        Raises:
            ValueError: The genotype or the model is not of this space.
        """
        from nasdet.models.channels import layer_widths  # brings torch and mmdet
        self.check(genotype, model)
        fitted = ConfigDict(copy.deepcopy(model))
        for name, sizes in layer_widths(self._graph_of(model), self._counts(genotype)).items():
            set_width(fitted, name, sizes)
        return fitted

    def _counts(self, genotype: Genotype) -> dict[str, int]:
        """Return how many numbers of the channel graph each group keeps."""
        return {name: genotype.value['widths'][name] // group.step for name, group in self.groups.items()}

    # ---- costs

    def cost(self, genotype: Genotype, target: Target = 'macs') -> float:
        """Return what a genotype costs, in the network that the space was made of.

        Args:
            genotype: Of this space.
            target: As for :class:`~nasdet.models.channels.Resource`: ``'macs'``, ``'params'``, ``'activations'``, or
                a dict with the device of ``'latency'``.

        Raises:
            ValueError: Unknown target.
        """
        import torch
        share = torch.ones(self.channels.num_channels, dtype=torch.float64)
        for name, count in self._counts(genotype).items():
            share[self.groups[name].channels] = count / self.groups[name].size
        return self._resource(target).cost(share)

    def _resource(self, target: Target):
        from nasdet.models.channels import Resource  # brings torch and mmdet
        key = str(target)
        if key not in self._resources:
            self._resources[key] = Resource(self.channels, target)
        return self._resources[key]

    def expanded(self, genotype: Genotype, budget: float, target: Target = 'macs') -> Genotype:
        """Multiply all widths by one factor, the largest with which the network costs no more than a budget.

        That is step 4 of the paper's algorithm 1; with :meth:`seed` it is the width multiplier that MorphNet is
        compared with. Widths are rounded to the nearest that the space has. Where many groups have one width a tiny
        step of the factor widens all of them at once: what that leaves of the budget widens some, those first that
        were nearest to being rounded up.

        Args:
            genotype: Of this space, or with counts of channels that are not yet rounded to its widths.
            budget: In the target's unit.
            target: As for :meth:`cost`.

        Raises:
            ValueError: Even the smallest widths cost more.
        """
        low, high = 0.0, max(choice.legal[-1] + 1 for choice in self._choices)
        best = self._scaled(genotype, low)
        if self.cost(best, target) > budget:
            raise ValueError(f'the smallest network of this {self.name} costs {self.cost(best, target):.4g} '
                             f'{self._resource(target).unit}, more than the budget of {budget:.4g}')
        for _ in range(60):     # to the last bits of a factor
            middle = (low + high) / 2
            tried = self._scaled(genotype, middle)
            if self.cost(tried, target) <= budget:
                low, best = middle, tried
            else:
                high = middle
        best = self._filled(best, {name: width * low for name, width in genotype.value['widths'].items()}, budget,
                            target)
        if self.cost(best, target) < CLOSE * budget:
            warnings.warn(f'widths in whole channels come no closer to {budget:.4g} {self._resource(target).unit} '
                          f'than {self.cost(best, target):.4g}, or the space ends there (largest={self.largest})',
                          stacklevel=2)
        return best

    def _filled(self, genotype: Genotype, wanted: Mapping[str, float], budget: float, target: Target) -> Genotype:
        """Widen each group by one step where the budget allows it, the one first that misses most of what it wants."""
        widths = genotype.plain()['widths']
        for choice in sorted(self._choices, key=lambda choice: -wanted[choice.name] / widths[choice.name]):
            wider = bisect.bisect_right(choice.legal, widths[choice.name] - 1)
            if wider < len(choice.legal):
                tried = Genotype(self.name, dict(widths={**widths, choice.name: choice.legal[wider] + 1}))
                if self.cost(tried, target) <= budget:
                    widths = tried.plain()['widths']
        return Genotype(self.name, dict(widths=widths))

    def _scaled(self, genotype: Genotype, factor: float) -> Genotype:
        """Return the genotype with each width multiplied by a factor, and rounded."""
        return self.rounded({name: width * factor for name, width in genotype.value['widths'].items()})


def _nearest(tokens: tuple[int, ...], wanted: float) -> int:
    """Return the nearest of ascending tokens, of two as near the larger one."""
    index = bisect.bisect_left(tokens, wanted)
    return min(tokens[max(index - 1, 0):index + 1], key=lambda token: (abs(token - wanted), -token))
