"""The classes of one network, collected into one Python file that needs mmdet but not nasdet."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Iterator

from mmdet.registry import MODELS

PACKAGE = 'nasdet.models'
MODULE = 'searched_network'
HEADER = '"""The searched network of this folder. Put the folder on PYTHONPATH; mmdet is enough (Apache-2.0)."""\n'


def write_bundle(model: dict, path: Path) -> None:
    """Write the source of every nasdet class that a model config names, and of what they import from ``nasdet.models``.

    Args:
        model: A model config with a genotype applied.
        path: The file to write.
    """
    modules: list[str] = []
    for name in sorted(set(types(model))):
        cls = MODELS.get(name)
        if cls is not None and cls.__module__.startswith(PACKAGE):
            _collect(cls.__module__, modules)
    imports, bodies = [], []
    for module in modules:
        source = inspect.getsource(importlib.import_module(module))
        for line in _outer_imports(source):
            if line not in imports:
                imports.append(line)
        bodies.append(f'# ---- {module}\n\n{_body(source)}')
    text = '\n\n\n'.join([HEADER + '\n' + '\n'.join(imports), *bodies])
    path.write_text(text.replace('register_module()', 'register_module(force=True)') + '\n')


def types(config) -> Iterator[str]:
    """Yield every ``type`` of a config that is a name, at any depth, and ``of`` what a ``narrowed`` network is."""
    if isinstance(config, dict):
        yield from (config[key] for key in ('type', 'of') if isinstance(config.get(key), str))
        for item in config.values():
            yield from types(item)
    elif isinstance(config, (list, tuple)):
        for item in config:
            yield from types(item)


def _collect(module: str, found: list[str]) -> None:
    """Append a module after everything that it imports from the package."""
    if module in found:
        return
    for node in ast.parse(inspect.getsource(importlib.import_module(module))).body:
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(PACKAGE):
            _collect(node.module, found)
    found.append(module)


def _outer_imports(source: str) -> list[str]:
    return [ast.unparse(node) for node in ast.parse(source).body
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not _inner(node)]


def _inner(node) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or '').startswith(PACKAGE)


def _body(source: str) -> str:
    """Return the source from the first statement on that is neither docstring nor import."""
    tree = ast.parse(source)
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not isinstance(node, (ast.Import, ast.ImportFrom)):
            first = min([node.lineno, *(item.lineno for item in getattr(node, 'decorator_list', []))])
            return '\n'.join(source.splitlines()[first - 1:])
    return ''
