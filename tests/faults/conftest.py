"""Commands that must fail: one sentence, a non-zero exit, and nothing trained."""

from pathlib import Path

import pytest

from nasdet.cli import main
from nasdet.history import History
from tests.faults.drive import toy_config

CONFIG = 'configs/nas_fpn/retinanet_r18_digits_supernet_ppo.py'
TINY = ['search.data.train=6', 'search.data.val=3', 'search.data.test=3', 'search.data.size=64',
        'search.budget.trials=1']


@pytest.fixture
def refused(tmp_path, capfd, monkeypatch, repo_root):
    """Run a command that must fail; return its one sentence."""
    monkeypatch.chdir(repo_root)

    def run(*command, work_dir=tmp_path / 'work', lines=1):
        capfd.readouterr()
        status = main([str(part) for part in command])
        error = capfd.readouterr().err
        assert status == 1
        assert error.startswith('nasdet: ') and error.count('\n') == lines, error
        assert work_dir is None or not started(work_dir)
        return error
    return run


def started(work_dir: Path) -> list:
    """Return what shows that something was trained or evaluated."""
    trials = []
    if (work_dir / 'history.sqlite').exists():
        history = History(work_dir / 'history.sqlite', read_only=True)
        trials = [trial.trial for trial in history.trials()]
        history.close()
    return trials + [name for name in ('supernet', 'trials', 'best') if (work_dir / name).exists()]


@pytest.fixture
def search(tmp_path, refused):
    """Search with the repository's NAS-FPN config on a few small pictures."""
    def run(*options, data=(), config=CONFIG):
        return refused('search', config, '--work-dir', tmp_path / 'work', '--cfg-options', *(data or TINY), *options)
    return run


@pytest.fixture
def toy_search(tmp_path, refused):
    """Search over the toy space with a config that a test changes."""
    def run(lines=1, **changes):
        cfg = toy_config(tmp_path / 'evaluations.log', slots=0)
        cfg.search = {**cfg.search, **changes}
        cfg.dump(str(tmp_path / 'toy.py'))
        return refused('search', tmp_path / 'toy.py', '--work-dir', tmp_path / 'work', lines=lines)
    return run
