"""Configs by name: ``nasdet::...`` as the config and as a base of one."""

import pytest

from nasdet.config import load_config
from nasdet.errors import SearchError

PACKAGED = 'nasdet::nas_fpn/retinanet_r18_digits_supernet_ppo.py'


@pytest.fixture
def packaged(repo_root):
    """The package carries its configs once it is installed, also where that is only a link to the checkout."""
    if not (repo_root / 'nasdet' / '.mim').exists():
        pytest.skip('nasdet is not installed in this environment (make setup)')


def scopes(value) -> set:
    if isinstance(value, dict):
        own = {value['_scope_']} if '_scope_' in value else set()
        return own.union(*map(scopes, value.values()))
    return set().union(*map(scopes, value)) if isinstance(value, (list, tuple)) else set()


def test_a_config_that_the_package_carries(packaged, repo_root):
    config = load_config(PACKAGED)
    same = load_config(str(repo_root / 'configs' / PACKAGED.partition('::')[2]))
    assert config.to_dict() == same.to_dict()


def test_as_a_base_it_leaves_no_mark(packaged, tmp_path, repo_root):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['{PACKAGED}']\nsearch = dict(seed=5)\n")
    config = load_config(str(child))
    same = load_config(str(repo_root / 'configs' / PACKAGED.partition('::')[2]), {'search.seed': 5})
    assert config.to_dict() == same.to_dict()
    assert 'nasdet' not in scopes(config.to_dict())


def test_marks_of_other_packages_stay(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']\n")
    assert scopes(load_config(str(child)).to_dict()) <= {'mmdet'}


def test_options_are_set(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text('search = dict(budget=dict(trials=3))\n')
    assert load_config(str(path), {'search.budget.trials': 8}).search.budget.trials == 8


@pytest.mark.parametrize('name, what', [
    ('missing.py', 'missing.py'),
    ('nasdet::nas_fpn/missing.py', 'missing.py'),
    ('no_such_package::a/b.py', 'no package no_such_package'),
])
def test_a_missing_config_is_named(name, what):
    with pytest.raises(SearchError, match=what):
        load_config(name)


def test_a_missing_base_is_named(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text("_base_ = ['gone.py']\n")
    with pytest.raises(SearchError, match='gone.py'):
        load_config(str(path))


def test_a_missing_custom_import_is_named(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text("custom_imports = dict(imports=['no_such_module'], allow_failed_imports=False)\n")
    with pytest.raises(SearchError, match="No module named 'no_such_module'.*PYTHONPATH"):
        load_config(str(path))
