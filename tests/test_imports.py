"""Who may import whom: the parts of a search know each other by their interfaces only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'nasdet'
PARTS = ('spaces', 'searchers', 'estimators', 'trainers', 'costs', 'engines')
CORE = {'genotype', 'registry', 'protocol', 'errors', 'files', 'randomness'}

# Folder -> the modules of nasdet that its files may import, besides those of the folder itself.
BASES = {f'{part}.base' for part in PARTS}
ALLOWED = {
    'models': set(),
    'spaces': CORE | BASES | {'models'},
    'searchers': CORE | BASES,
    'estimators': CORE | BASES | {'training', 'datasets'},
    'trainers': CORE | BASES | {'training', 'datasets', 'models', 'searchers.controller', 'searchers.tensors'},
    'costs': CORE | BASES | {'models'},
    'engines': CORE | BASES,
}
# What these are made of must not know that a search exists; its history knows nothing of who reads it.
WHOLE = {'search', 'history', 'report', 'confirm'}
FORBIDDEN = {'training': {*PARTS, *WHOLE}, 'datasets': {*PARTS, *WHOLE}, 'history': WHOLE - {'history'},
             'report': {'search', 'confirm'}, 'search': {'confirm'}, 'confirm': {'search'}}
# models/ takes a genotype by name from the zoo, or from a file, inside a function: an exported network needs neither.
LAZY = {'models': {'zoo', 'genotype'}}


def files(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).rglob('*.py'))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return (module below nasdet, whether at the top of the file) for what a file imports of nasdet."""
    found = []
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: imports are written in full'
            names = [node.module] if node.module != 'nasdet' else [f'nasdet.{alias.name}' for alias in node.names]
        else:
            continue
        found += [(name.partition('nasdet.')[2], id(node) in top) for name in names if name.startswith('nasdet.')]
    return found


def within(module: str, roots: set[str]) -> bool:
    return any(module == root or module.startswith(f'{root}.') for root in roots)


@pytest.mark.parametrize('folder', sorted(ALLOWED))
def test_a_part_imports_only_its_own_base_and_the_core(folder):
    strangers = [f'{path.relative_to(PACKAGE)} imports nasdet.{module}'
                 for path in files(folder) for module, top in imports(path)
                 if not within(module, {folder} | ALLOWED[folder] | (set() if top else LAZY.get(folder, set())))]
    assert not strangers


@pytest.mark.parametrize('folder', sorted(FORBIDDEN))
def test_what_a_search_stands_on_does_not_know_it(folder):
    strangers = [f'{path.relative_to(PACKAGE)} imports nasdet.{module}'
                 for path in files(folder) for module, _ in imports(path) if within(module, FORBIDDEN[folder])]
    assert not strangers


def test_the_rule_sees_every_form_of_import(tmp_path):
    """The reader of imports itself: a rule that misses a form of import could not fail."""
    path = tmp_path / 'module.py'
    path.write_text('import nasdet.search\nfrom nasdet import cli\nfrom nasdet.spaces.base import Space\nimport os\n'
                    'def later():\n    from nasdet.zoo import load\n    return load\n')
    assert imports(path) == [('search', True), ('cli', True), ('spaces.base', True), ('zoo', False)]


def test_importing_the_package_is_cheap():
    assert [module for module, _ in imports(PACKAGE / '__init__.py')] == ['version']
