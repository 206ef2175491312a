"""Writes the widths of layers into a model config."""

from typing import Any, Iterable, Mapping

from mmengine.config import ConfigDict


def set_width(model: ConfigDict, layer: str, sizes: list[int]) -> None:
    """Write a layer's width into the part of a model config that the layer is of.

    Args:
        model: Changed in place.
        layer: Dotted name in the network.
        sizes: Its inputs and its outputs.

    Raises:
        ValueError: The layer is of no part.
    """
    part, names = _part(model, layer.split('.'))
    if part is model:
        if names != ['fc'] or 'in_channels' not in model:
            raise ValueError(f'{layer} is a layer of the {model["type"]} itself, whose config says nothing of its '
                             f'width: leave it out of the space by parts=(...)')
        model['in_channels'] = sizes[0]
    elif not names:     # a RoI extractor, which has no weights
        part['out_channels'] = sizes[1]
    else:
        if part['type'] != 'narrowed':
            part.update(of=part['type'], type='narrowed', widths={})
            _forget_pretrained(part)
        part['widths']['.'.join(names)] = sizes


def _part(config: Any, names: list[str]) -> tuple[Mapping, list[str]]:
    """Return the innermost config on the way to a layer that names a module, and the rest of the way."""
    for index, name in enumerate(names):
        inner = config.get(name) if isinstance(config, Mapping) else config[int(name)]
        if not isinstance(inner, (list, tuple)) and not (isinstance(inner, Mapping) and 'type' in inner):
            return config, names[index:]
        config = inner
    return config, []


def _forget_pretrained(part: ConfigDict) -> None:
    """Drop from the config of a backbone what is there because its weights are pretrained."""
    inits: Iterable = part.get('init_cfg') or ()
    if any(init.get('type') == 'Pretrained' for init in ([inits] if isinstance(inits, Mapping) else inits)):
        part.pop('init_cfg')
        for name, value in dict(frozen_stages=-1, norm_eval=False).items():
            if name in part:
                part[name] = value
