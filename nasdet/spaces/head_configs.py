"""What the config of a head, or of any part of a detector, says of itself: lists, strides, arguments of its class."""

import inspect
from typing import Any, Iterator, Mapping, Optional, Sequence


def listed(part: Any) -> list:
    """Return a config entry as a list: cascades have one head a stage, most detectors one."""
    return list(part) if isinstance(part, (list, tuple)) else [part] if part else []


def place_generators(head: Mapping) -> Iterator[Mapping]:
    """Yield the configs of a dense head's anchors or points, and of its stages' (Cascade RPN)."""
    for name, part in head.items():
        if name.endswith('_generator') and isinstance(part, Mapping) and 'strides' in part:
            yield part
    for stage in listed(head.get('stages')):
        yield from place_generators(stage)


def head_strides(head: Mapping) -> list[list[int]]:
    """Return the strides that a dense head places its anchors or points at; none where it says none."""
    generators = list(place_generators(head))
    if generators:  # SSD's hold for one input size alone: 300 pixels there are one map of stride 300
        return [_sides(generator['strides']) for generator in generators if 'input_size' not in generator]
    arguments = ('strides', 'point_strides')
    given = [head[argument] for argument in arguments if argument in head]
    strides = given[0] if given else default_of(head['type'], arguments)
    return [] if strides is None else [_sides(strides)]


def default_of(name: Any, arguments: Sequence[str]) -> Optional[Any]:
    """Return the default of the first of the arguments that a class takes; None where it takes none or gives none."""
    found = arguments_of(name, arguments)
    return None if not found or found[0].default is inspect.Parameter.empty else found[0].default


def arguments_of(name: Any, arguments: Sequence[str]) -> list[inspect.Parameter]:
    """Return those of the arguments that a class of that name, or the first base that takes any of them, takes."""
    from mmdet.registry import MODELS
    cls = name if isinstance(name, type) else MODELS.get(name)
    for base in inspect.getmro(cls) if isinstance(cls, type) else ():       # MODELS has functions too
        parameters = inspect.signature(base.__init__).parameters
        found = [parameters[argument] for argument in arguments if argument in parameters]
        if found:
            return found
    return []


def _sides(strides) -> list[int]:
    return [stride[0] if isinstance(stride, (list, tuple)) else stride for stride in strides]
