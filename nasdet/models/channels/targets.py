"""What a channel may cost: the targets of MorphNet, one class each.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, section 4; activations and latency as in the authors' library, morph-net.
"""

from dataclasses import dataclass
from typing import Mapping, Protocol, Union

from nasdet.models.channels.graph import Layer

BYTES = 4       # of an element in single precision


@dataclass(frozen=True)
class Charge:
    """Cost as a function of a layer's alive inputs and outputs: pair * inputs * outputs + read * inputs + ...

    Args:
        pair: Of each pair of an input and an output of a dense layer, or of each output of another.
        read: Of each input.
        written: Of each output.
    """

    pair: float = 0.0
    read: float = 0.0
    written: float = 0.0


class Target(Protocol):
    """What a network costs: the sum over its layers, and over what operations without weights read and write."""

    unit: str           # as a log says it
    element: float      # cost of each element that an operation without weights reads or writes

    def charges(self, layer: Layer) -> list[tuple[Charge, ...]]:
        """Return the costs of a layer, which are added up; of the charges in one tuple the largest counts.

        All tuples of a target are of one length.
        """


class Macs:
    """Multiply-adds of convolutions and linear layers, for one image."""

    unit, element = 'multiply-adds', 0.0

    def charges(self, layer: Layer) -> list[tuple[Charge, ...]]:
        """Return one charge: of each pair of channels."""
        return [(Charge(pair=layer.macs),)]


class Params:
    """Weights of convolutions and linear layers, without biases and norm layers."""

    unit, element = 'weights', 0.0

    def charges(self, layer: Layer) -> list[tuple[Charge, ...]]:
        """Return one charge: of each pair of channels."""
        return [(Charge(pair=layer.weights if layer.kind != 'norm' else 0.0),)]


class Activations:
    """Elements that convolutions and linear layers write for one image: the memory that a training keeps.

    The authors' library counts the alive outputs of each layer alone, whatever the size of its map.
    """

    unit, element = 'activations', 0.0

    def charges(self, layer: Layer) -> list[tuple[Charge, ...]]:
        """Return one charge: of each output."""
        counts = layer.kind in ('dense', 'depthwise')
        return [(Charge(written=sum(call.written for call in layer.calls) * counts),)]


class Latency:
    """Seconds of one image by the roofline: what a layer computes, or what it reads and writes, whichever takes longer.

    Each run of a layer counts by itself, with its input, output and weights in single precision. So do batch norms,
    ReLU, sums, concatenations and pooling, which only read and write.

    Args:
        peak: Floating point operations a second of the device, of which a multiply-add is two.
        bandwidth: Bytes a second of its memory.
    """

    unit = 's'

    def __init__(self, peak: float, bandwidth: float):
        self.peak = peak
        self.element = BYTES / bandwidth

    def charges(self, layer: Layer) -> list[tuple[Charge, ...]]:
        """Return for each run two charges: of computing, and of moving."""
        pairs, others = (layer.weights, 0.0) if layer.kind == 'dense' else (0.0, layer.weights)
        return [(Charge(pair=2 * call.macs / self.peak),
                 Charge(pairs * self.element, call.read * self.element, (call.written + others) * self.element))
                for call in layer.calls]


TARGETS = dict(macs=Macs, params=Params, activations=Activations, latency=Latency)
TargetConfig = Union[str, Mapping]      # a name, or a dict of it and its arguments


def build_target(config: TargetConfig) -> Target:
    """Build a target.

    Args:
        config: Such as ``'macs'``, or ``dict(type='latency', peak=8.1e12, bandwidth=300e9)``.

    Raises:
        ValueError: It is unknown, or its arguments are wrong.
    """
    arguments = dict(type=config) if isinstance(config, str) else dict(config)
    kind = arguments.pop('type', None)
    if kind not in TARGETS:
        raise ValueError(f'MorphNet knows the targets {", ".join(TARGETS)}, not {kind!r}')
    try:
        return TARGETS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"the target {kind!r} cannot be made of {arguments}: {error}; give it a device's figures, as "
                         f"dict(type='latency', peak=8.1e12, bandwidth=300e9)") from error
