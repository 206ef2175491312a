"""A confirmation for real: trainings on a handful of pictures, each in a process of its own."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from nasdet import zoo
from nasdet.config import load_config
from nasdet.confirm import main, read_rows, run_config
from nasdet.confirm.run import train_and_test
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


@HOOKS.register_module()
class KeepWeights(Hook):
    """Keeps the last weights of a training and their averages."""

    def after_train(self, runner):
        averaged = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model.module
        KeepWeights.last, KeepWeights.averages = (
            {name: tensor.clone() for name, tensor in model.named_parameters()} for model in (runner.model, averaged))


def test_averaged_weights_are_measured_and_saved(digits, tmp_path):
    config = Config.fromfile(str(digits / 'config.py'))
    config.custom_hooks = [dict(type='EMAHook', momentum=0.5), dict(type='KeepWeights')]
    folder = tmp_path / 'run'
    folder.mkdir()
    run = run_config(config, config.model)
    (folder / 'config.py').write_text(run.pretty_text)
    train_and_test(folder, epochs=1, seed=0)
    saved = torch.load(folder / 'weights.pth', weights_only=True)
    assert saved['meta']['dataset_meta']['classes'][3] == '3'
    assert all(torch.equal(saved['state_dict'][name], tensor) for name, tensor in KeepWeights.averages.items())
    assert not all(torch.equal(saved['state_dict'][name], tensor) for name, tensor in KeepWeights.last.items())


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
