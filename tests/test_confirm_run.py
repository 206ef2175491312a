"""A confirmation for real: trainings on a handful of pictures, each in a process of its own."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from nasdet import zoo
from nasdet.config import load_config
from nasdet.confirm import main, read_rows
from nasdet.datasets import prepare
from nasdet.errors import SearchError
from nasdet.history import History, Trial
from nasdet.protocol import Proposal, Result
from nasdet.registry import SPACES, build
from tests.faults.conftest import CONFIG


@pytest.fixture
def digits(tmp_path, repo_root):
    """A prepared search on a handful of built-in pictures, with one finished trial."""
    config = load_config(str(repo_root / CONFIG))
    config.search.data = dict(type='digits', train=16, val=8, test=8, size=64)
    config.search.costs = []
    prepared = prepare(config, tmp_path)
    (tmp_path / 'config.py').write_text(prepared.pretty_text)
    space = build(SPACES, prepared.search.space)
    genotype = zoo.load('nas_fpn')
    history = History(tmp_path / 'history.sqlite')
    history.asked(Trial(0, space.key(genotype), Proposal(genotype, space.encode(genotype)), 0))
    history.told(0, Result('ok', 0.5))
    history.close()
    return tmp_path


@pytest.mark.slow
def test_real_trainings_end_in_a_table(digits, capsys):
    args = SimpleNamespace(work_dir=str(digits), top_k=3, seeds=1, epochs=1, baselines=['fpn'])
    assert main(args) == 0
    rows = read_rows(digits / 'confirm' / 'results.csv')
    assert [row['architecture'] for row in rows] == ['detector', 'fpn', 'trial-000000']
    assert all(0.0 <= float(row['figure']) <= 1.0 for row in rows)
    for row in rows:
        folder = digits / 'confirm' / row['architecture'] / 'seed-0'
        assert (folder / 'weights.pth').exists() and not list(folder.glob('epoch_*'))
    assert 'no evidence either way' in capsys.readouterr().out
    assert 'Confirmation on the test split' in (digits / 'report.html').read_text()


@pytest.mark.slow
def test_a_training_that_breaks_is_told_with_its_end(digits):
    config = Config.fromfile(str(digits / 'config.py'))
    config.optim_wrapper.optimizer.lr = 1e30
    (digits / 'config.py').write_text(config.pretty_text)
    args = SimpleNamespace(work_dir=str(digits), top_k=1, seeds=1, epochs=2, baselines=None)
    words = r'detector, seed 0: the training ended with status 1(.|\n)*the loss is not finite'
    with pytest.raises(SearchError, match=words):
        main(args)
    assert read_rows(digits / 'confirm' / 'results.csv') == []
