"""Commands about a search whose own modules are not there, or no longer fit: one sentence, no traceback."""

import sys

import pytest

from nasdet.cli import main
from nasdet.search import Search
from tests.faults.drive import toy_config

MODULE = '''
from nasdet.costs.base import Cost
from tests.toys import ToyEstimator, ToySpace


class OwnSpace(ToySpace):
    pass


class OwnCost(Cost):
    def __call__(self, genotype):
        return float(len(genotype.value['layers']))


class OwnEstimator(ToyEstimator):
    pass
'''
COMMANDS = (['report'], ['export'], ['confirm', '--epochs', '1'])


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A search whose space, cost and estimator are of a module of its user's; and that module's file."""
    own = tmp_path / 'own'
    own.mkdir()
    (own / 'own_parts.py').write_text(MODULE)
    monkeypatch.syspath_prepend(own)
    cfg = toy_config(tmp_path / 'evaluations.log', 0, budget=dict(trials=2), costs=[dict(type='own_parts.OwnCost')])
    cfg.search.space.type, cfg.search.estimator.type = 'own_parts.OwnSpace', 'own_parts.OwnEstimator'
    search = Search.from_cfg(cfg, str(tmp_path / 'work'))
    search.run()
    search.close()
    monkeypatch.delitem(sys.modules, 'own_parts')
    yield tmp_path / 'work', own / 'own_parts.py'
    sys.modules.pop('own_parts', None)


def refusal(capfd, *command) -> str:
    assert main([str(part) for part in command]) == 1
    error = capfd.readouterr().err.partition('nasdet: ')[2]
    assert error.count('\n') == 1
    return error


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_a_module_that_is_not_there(searched, capfd, command):
    work_dir, module = searched
    module.unlink()
    error = refusal(capfd, command[0], work_dir, *command[1:])
    assert "space type 'own_parts.OwnSpace' cannot be imported" in error and 'PYTHONPATH' in error


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_a_custom_import_that_is_not_there(searched, capfd, command):
    work_dir, _ = searched
    config = work_dir / 'config.py'
    config.write_text(config.read_text().replace("'tests.toys'", "'no_such_module'"))
    assert "No module named 'no_such_module'" in refusal(capfd, command[0], work_dir, *command[1:])


@pytest.mark.parametrize('name, command', [('Cost', 'report'), ('Estimator', 'export')])
def test_a_component_whose_arguments_have_changed(searched, capfd, name, command):
    work_dir, module = searched
    text = module.read_text()
    head = next(line for line in text.splitlines() if line.startswith(f'class Own{name}('))
    module.write_text(text.replace(head, f'{head}\n    def __init__(self):\n        pass\n'))
    assert f'Own{name}' in refusal(capfd, command, work_dir)
