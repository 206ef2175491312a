"""Reading a config file, or one that the package carries: ``nasdet::nas_fpn/...``; the network's part of it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Mapping, Optional

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from nasdet.errors import SearchError

SCOPE = 'nasdet'


def load_config(name: str, options: Optional[Mapping[str, Any]] = None) -> Config:
    """Read a config whose ``_base_`` may name ``nasdet::...``.

    Args:
        name: A path, or ``PACKAGE::PATH`` of a config that an installed package carries.
        options: Dotted names and values to set, as of ``--cfg-options``.

    Returns:
        The config, without the scope marks that mmengine leaves on what came from ``nasdet::``: nasdet has no registry
        of networks of its own, so stock tools would warn about the name.

    Raises:
        SearchError: No such file, of the config itself or of a base, or a module that it imports; an error in it; an
            option that it has no place for.
    """
    MODULE2PACKAGE[SCOPE] = SCOPE       # mmengine's table of packages is closed; this is our one entry
    try:
        config = Config.fromfile(str(_path(name)))
    except FileNotFoundError as error:
        raise SearchError(f'cannot read the config {name}: {error}') from error
    except ImportError as error:
        raise SearchError(f'the config {name} needs a module that cannot be imported: {_first(error)}. The folder of '
                          f'your own modules must be in PYTHONPATH') from error
    except Exception as error:      # noqa: BLE001 - a config is Python, and may raise anything
        raise SearchError(f'cannot read the config {name}: {type(error).__name__}: {error}') from error
    _remove_scope(config._cfg_dict)
    try:
        config.merge_from_dict(dict(options or {}))
    except (KeyError, TypeError, AttributeError) as error:
        raise SearchError(f'cannot set {options} in the config {name}: {error}') from error
    return config


def network_of(config: Config) -> Config:
    """Return a search config without ``search``: what estimators and trainers are given."""
    return Config({name: part for name, part in config.items() if name != 'search'})


def _path(name: str) -> Path:
    package, mark, relative = name.partition('::')
    if not mark:
        return Path(name)
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SearchError(f'cannot read the config {name}: no package {package} is installed')
    return Path(spec.origin).parent / '.mim' / 'configs' / relative


def _first(error: BaseException) -> BaseException:
    """Return the error that began a chain: mmengine says which custom import failed, and only the first error why."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _remove_scope(value: Any) -> None:
    if isinstance(value, dict):
        if value.get('_scope_') == SCOPE:
            del value['_scope_']
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _remove_scope(item)
