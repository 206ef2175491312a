"""The command ``nasdet search``: where it works, what it leaves."""

import pytest
from mmengine.config import Config

from nasdet.cli import main
from nasdet.workdir import WorkDir
from tests.faults.drive import toy_config


@pytest.fixture
def toy_file(tmp_path, monkeypatch):
    """Write the config of a short search over the toy space; the current folder is empty."""
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')

    def write(**entries) -> str:
        cfg = toy_config(tmp_path / 'evaluations.log', 0, budget=dict(trials=2))
        cfg.update(entries)
        cfg.dump(str(tmp_path / 'toy.py'))
        return str(tmp_path / 'toy.py')
    return write


# ---- the work dir


@pytest.mark.parametrize('in_config, flag, used', [
    (None, None, 'work_dirs/toy'), ('of_config', None, 'of_config'), ('of_config', 'of_flag', 'of_flag')])
def test_the_work_dir_is_that_of_flag_or_config_or_the_configs_name(toy_file, tmp_path, in_config, flag, used):
    config = toy_file(work_dir=in_config) if in_config else toy_file()
    assert main(['search', config, *(['--work-dir', flag] if flag else [])]) == 0
    here = tmp_path / 'here'
    assert [path.parent for path in here.rglob('history.sqlite')] == [here / used]


def test_the_configs_that_a_search_leaves_do_not_write_to_its_folder(toy_file):
    assert main(['search', toy_file(work_dir='work')]) == 0
    assert 'work_dir' not in Config.fromfile('work/config.py')


# ---- the control


def test_a_control_that_fails_costs_no_report(toy_file, tmp_path, capfd):
    (tmp_path / 'work').mkdir()
    holder = WorkDir(tmp_path / 'work' / 'control')
    holder.acquire()
    command = ['search', toy_file(), '--work-dir', str(tmp_path / 'work'), '--control']
    assert main(command) == 1
    assert 'control is in use' in capfd.readouterr().err
    assert 'searched by EvolutionSearcher' in (tmp_path / 'work' / 'report.html').read_text()
    holder.release()
    assert main(command) == 0
    assert 'in the search and' in (tmp_path / 'work' / 'report.html').read_text()
