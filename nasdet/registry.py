"""The six kinds of component, what draws a supernet's paths, and the function that builds them from config dicts."""

import difflib
import inspect
from importlib import import_module
from typing import Any, Mapping, Optional, Union

from mmengine.registry import Registry

SPACES = Registry('space', scope='nasdet', locations=['nasdet.spaces'])
SEARCHERS = Registry('searcher', scope='nasdet', locations=['nasdet.searchers'])
ESTIMATORS = Registry('estimator', scope='nasdet', locations=['nasdet.estimators'])
TRAINERS = Registry('trainer', scope='nasdet', locations=['nasdet.trainers'])
COSTS = Registry('cost', scope='nasdet', locations=['nasdet.costs'])
ENGINES = Registry('engine', scope='nasdet', locations=['nasdet.engines'])
PATH_SAMPLERS = Registry('path sampler', scope='nasdet', locations=['nasdet.training'])


def build(registry: Registry, cfg: Mapping[str, Any], defaults: Optional[Mapping] = None, **context) -> Any:
    """Build the component that a config dict names.

    ``Registry.build`` is not used because it looks a name up in the *default scope* first, which is
    'mmdet' in every process that has built a Runner.

    Args:
        registry: One of the registries of this module.
        cfg: A dict with ``type`` (a registered name, a dotted path or a class) and its arguments.
        defaults: Arguments for a component that has them where ``cfg`` does not say, such as the search's seed.
        **context: Arguments that the caller adds, such as ``space=``.

    Returns:
        The component.

    Raises:
        ValueError: No ``type``, an unknown one (the nearest name is suggested, or the import's error shown), or
            wrong arguments.
    """
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise ValueError(f'a {registry.name} is a dict with a type, e.g. dict(type=...), not {cfg!r}')
    arguments = dict(cfg)
    cls = _find(registry, arguments.pop('type'))
    for name, value in (defaults or {}).items():
        if name in inspect.signature(cls).parameters:
            arguments.setdefault(name, value)
    try:
        return cls(**arguments, **context)
    except TypeError as error:
        raise ValueError(f'{registry.name} {cls.__name__}: {error}') from error


def _find(registry: Registry, name: Union[str, type]) -> type:
    if isinstance(name, type):
        return name
    if '.' in name:
        return _import(registry, name)
    registry.import_from_location()
    cls = registry.get(name)
    if cls is None:
        known = sorted(registry.module_dict)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f'did you mean {near[0]!r}?' if near else f'known: {", ".join(known)}'
        raise ValueError(f'unknown {registry.name} type {name!r}: {hint}')
    return cls


def _import(registry: Registry, path: str) -> type:
    module, _, name = path.rpartition('.')
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f'{registry.name} type {path!r} cannot be imported: {error}. The folder of your own modules '
                         f'must be in PYTHONPATH') from error
