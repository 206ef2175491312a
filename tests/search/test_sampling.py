"""The command ``nasdet search``: where it works, what it leaves, and what it takes up again."""

import json
from contextlib import closing

import pytest
from mmengine.config import Config

from nasdet.cli import main
from nasdet.config import load_config
from nasdet.errors import SearchError
from nasdet.history.workdir import WorkDir
from nasdet.search import Search
from tests.faults.conftest import CONFIG
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


# ---- taken up again


def test_what_may_change_changes_or_goes(tmp_path):
    before = dict(env_cfg=dict(cudnn_benchmark=True), default_hooks=dict(logger=dict(interval=20)))
    after = dict(default_hooks=dict(logger=dict(interval=5)), log_level='DEBUG')
    for slots, entries in ((1, before), (0, after)):
        cfg = toy_config(tmp_path / 'evaluations.log', slots)
        cfg.update(entries)
        if not slots:
            cfg.search.pop('engine')
        with closing(Search.from_cfg(cfg, str(tmp_path / 'work'))) as search:
            stored = Config.fromfile(str(tmp_path / 'work' / 'config.py'))
            for name in ('env_cfg', 'default_hooks', 'log_level'):
                assert stored.get(name) == search.config.get(name) == entries.get(name)
    assert 'engine' not in stored.search and type(search.engine).__name__ == 'InlineEngine'


def test_a_picture_that_has_vanished_fails_no_trial(tmp_path, repo_root):
    data = {f'search.data.{name}': value for name, value in dict(train=6, val=3, test=3, size=64).items()}
    cfg = load_config(str(repo_root / CONFIG), data)
    Search.from_cfg(cfg, str(tmp_path / 'work')).close()
    seen = json.loads((tmp_path / 'work' / 'data' / 'trainval.json').read_text())['images']
    picture = next((tmp_path / 'work' / 'data').rglob(seen[0]['file_name']))
    picture.unlink()
    with pytest.raises(SearchError, match=f'picture {picture} does not exist'):
        Search.from_cfg(cfg, str(tmp_path / 'work'))


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
