"""Building a component from a config dict: by name, by path, by class, and what is said where that fails."""

import pytest

from nasdet.registry import SEARCHERS, SPACES, build
from nasdet.searchers.random import RandomSearcher

MODULE = """
class MySearcher:
    def __init__(self, space, speed=1):
        self.space, self.speed = space, speed
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / 'own_module_of_a_user.py').write_text(MODULE)
    (tmp_path / 'own_module_that_fails.py').write_text('import no_such_library\n')
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize('kind', ['RandomSearcher', 'nasdet.searchers.random.RandomSearcher', RandomSearcher])
def test_a_name_a_path_and_a_class_build_the_same(kind):
    searcher = build(SEARCHERS, dict(type=kind, dedup=True), space='the space')
    assert type(searcher) is RandomSearcher and searcher.dedup and searcher.space == 'the space'


def test_what_a_user_wrote_needs_no_registration(own_module):
    searcher = build(SEARCHERS, dict(type='own_module_of_a_user.MySearcher', speed=3), space='the space')
    assert (searcher.space, searcher.speed) == ('the space', 3)


@pytest.mark.parametrize('cfg, complaint', [
    (dict(type='RandomSercher'), "unknown searcher type 'RandomSercher': did you mean 'RandomSearcher'"),
    (dict(type='own_module_of_a_user.YourSearcher'), "has no attribute 'YourSearcher'"),
    (dict(type='no_module_of_a_user.MySearcher'), "No module named 'no_module_of_a_user'.*PYTHONPATH"),
    (dict(type='own_module_that_fails.MySearcher'), "No module named 'no_such_library'"),
    (dict(type='RandomSearcher', dedub=True), 'searcher RandomSearcher: .*dedub'),
    (dict(dedup=True), 'a searcher is a dict with a type'),
    ('RandomSearcher', 'a searcher is a dict with a type'),
])
def test_what_cannot_be_built_is_named(own_module, cfg, complaint):
    with pytest.raises(ValueError, match=complaint):
        build(SEARCHERS, cfg, space=None)


def test_a_type_of_another_kind_is_unknown():
    with pytest.raises(ValueError, match="unknown space type 'RandomSearcher'"):
        build(SPACES, dict(type='RandomSearcher'))


def test_a_default_is_for_those_who_have_the_argument_and_do_not_say_it(own_module):
    mine = dict(type='own_module_of_a_user.MySearcher')
    assert build(SEARCHERS, mine, dict(speed=5, seed=1), space=None).speed == 5
    assert build(SEARCHERS, dict(mine, speed=3), dict(speed=5), space=None).speed == 3
