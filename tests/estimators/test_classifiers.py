"""Both estimators that train, on image classifiers."""

import copy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from nasdet.datasets import prepare
from nasdet.estimators import SupernetEstimator, TrainingEstimator
from nasdet.protocol import Budget
from nasdet.spaces import ENASMicroSpace
from nasdet.testing import check_estimator
from nasdet.training.runner import build_runner
from tests.classifiers import TinySpace, write_config

SMALL = dict(epochs=1, recalibration_images=33, train_threads=1)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepared')
    config = prepare(Config.fromfile(str(write_config(folder / 'tiny.py'))), folder)
    config.pop('search')
    return config


@pytest.fixture
def config(prepared):
    return copy.deepcopy(prepared)


@pytest.fixture
def genotype():
    return TinySpace().decode((1, 2))


@pytest.fixture(scope='module')
def trained(prepared, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('search')
    SupernetEstimator(TinySpace(), prepared, work_dir, **SMALL).prepare()
    return work_dir


def accuracy(config, model, weights) -> float:
    """Top-1 on search-val of a plain network with the weights of a file, as mmengine's own loop gives it."""
    state = torch.load(weights, weights_only=True)['state_dict']
    config = copy.deepcopy(config)
    config.custom_hooks = []
    runner = build_runner(config, model, weights.parent, epochs=1)
    runner.model.load_state_dict(state, strict=True)
    return runner.val_loop.run()['accuracy/top1']


def test_training_holds_to_the_interface_and_leaves_the_weights_that_it_scored(config, genotype, tmp_path):
    estimator = TrainingEstimator(TinySpace(), config, images=40)
    check_estimator(estimator, genotype)
    assert list(estimator.metric_names) == ['accuracy/top1', 'accuracy/top5']
    evaluation = TrainingEstimator(TinySpace(), config).evaluate(genotype, Budget(epochs=4), seed=0, folder=tmp_path)
    assert evaluation.metrics['accuracy/top1'] > 0.3 and evaluation.cost['images'] == 4 * 480     # chance is 0.1
    model = Config.fromfile(str(tmp_path / 'config.py')).model
    assert accuracy(config, model, tmp_path / 'weights.pth') == evaluation.metrics['accuracy/top1']


def test_the_budget_of_a_training(config, genotype):
    estimator = TrainingEstimator(TinySpace(), config, train_images=50)
    evaluation = estimator.evaluate(genotype, Budget(epochs=2, images=30, resolution=24), seed=0)
    assert evaluation.fidelity == dict(epochs=2, images=30, resolution=24, train_images=50)
    assert evaluation.cost['images'] == 100 and evaluation.cost['iterations'] == 6     # batches of 16, whole ones


def test_too_many_and_too_few_images_are_refused(config):
    for arguments, words in ((dict(images=61), '61 images asked for, but there are 60'),
                             (dict(train_images=5), '5 of 480 images of 10 classes'),
                             (dict(train_images=12), '12 images make no batch of 16')):
        with pytest.raises(ValueError, match=words):
            TrainingEstimator(TinySpace(), config, **arguments).check()
    with pytest.raises(ValueError, match='cache_features=True is for single- and two-stage detectors'):
        SupernetEstimator(TinySpace(), config, 'unused', cache_features=True).check()


def test_a_supernet_holds_to_the_interface(config, genotype, trained):
    estimator = SupernetEstimator(TinySpace(), config, trained, images=40, **SMALL)
    check_estimator(estimator, genotype)
    evaluation = estimator.evaluate(genotype, Budget(), seed=0)
    assert evaluation.fidelity['images'] == 40
    assert evaluation.fidelity['recalibration_images'] == 32        # of 33, whose last would have been a batch of one
    assert estimator.evaluate(genotype, Budget(images=60), seed=0).cost['images'] == 60


def test_statistics_come_from_search_train_read_as_search_val(config, trained):
    config.val_dataloader.dataset.transforms = [dict(type='Resize', size=[12, 12])]
    estimator = SupernetEstimator(TinySpace(), config, trained, **SMALL)
    estimator.setup()
    batches = list(estimator._batches('train', SMALL['recalibration_images']))
    assert [tuple(batch['inputs'].shape) for batch in batches] == [(16, 3, 12, 12)] * 2


def test_exported_weights_have_the_score_of_the_path(config, trained, tmp_path):
    space, estimator = TinySpace(), SupernetEstimator(TinySpace(), config, trained, **SMALL)
    estimator.setup()
    for genotype in (space.decode((0, 2)), space.decode((2, 1))):
        weights = tmp_path / 'weights.pth'
        assert estimator.weights(genotype, None, weights)
        score = estimator.evaluate(genotype, Budget(), seed=0).metrics['accuracy/top1']
        assert accuracy(config, space.apply(genotype, config.model), weights) == score
    assert torch.load(weights, weights_only=True)['meta']['dataset_meta'] == dict(classes=tuple('0123456789'))


def test_a_supernet_of_which_no_network_is_a_part_gives_scores_and_no_weights(config, tmp_path):
    skeleton = dict(type='CellNetwork', num_cells=(1,), width=2, num_classes=10)
    config.model = ConfigDict(type='ImageClassifier', data_preprocessor=config.model.data_preprocessor,
                              backbone=skeleton)
    space = ENASMicroSpace(1, ('max3', 'id'))
    estimator = SupernetEstimator(space, config, tmp_path, images=20, **SMALL)
    genotype = space.sample(np.random.default_rng(0))
    check_estimator(estimator, genotype)
    assert not estimator.weights(genotype, None, tmp_path / 'weights.pth')
    assert not (tmp_path / 'weights.pth').exists()


@HOOKS.register_module()
class KeepAverages(Hook):
    """Keeps the last averages of a training."""

    def after_train(self, runner):
        averaged = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model.module
        KeepAverages.found = {name: tensor.clone() for name, tensor in averaged.named_parameters()}


def test_a_supernet_is_scored_with_averaged_weights(config, tmp_path):
    config.custom_hooks = [dict(type='EMAHook', momentum=0.5), dict(type='KeepAverages')]
    SupernetEstimator(TinySpace(), config, tmp_path, **SMALL).prepare()
    saved = torch.load(tmp_path / 'supernet' / 'weights.pth', weights_only=True)['state_dict']
    assert all(torch.equal(saved[name], tensor) for name, tensor in KeepAverages.found.items())
    model = MODELS.build(TinySpace().supernet(config.model))
    model.load_state_dict(saved, strict=True)
