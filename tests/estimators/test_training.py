import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from nasdet.estimators import TrainingEstimator
from nasdet.protocol import Budget

SMALL = dict(epochs=1, resolution=64, train_images=8)


@pytest.fixture
def genotype(space):
    return space.sample(np.random.default_rng(0))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_equal_arguments_give_equal_metrics_and_files_that_stock_tools_read(space, config, genotype, tmp_path):
    estimator = TrainingEstimator(space, config, epochs=2, resolution=64)
    first, second = (estimator.evaluate(genotype, Budget(), seed=5, folder=tmp_path / name) for name in 'ab')
    assert first.metrics == second.metrics and first.curve == second.curve
    assert first.metrics['coco/bbox_mAP'] >= 0 and len(first.curve) == 2
    assert first.curve != estimator.evaluate(genotype, Budget(), seed=6).curve
    assert first.cost['images'] == 48 and first.cost['iterations'] == 12 and first.cost['seconds'] > 0
    assert first.fidelity == dict(epochs=2, images=12, resolution=64, train_images=24)
    assert sorted(path.name for path in (tmp_path / 'a').iterdir()) == ['config.py', 'log.txt', 'weights.pth']

    model = MODELS.build(Config.fromfile(str(tmp_path / 'a' / 'config.py')).model)
    assert estimator.weights(genotype, tmp_path / 'a', tmp_path / 'exported.pth')
    checkpoint = torch.load(tmp_path / 'exported.pth', weights_only=True)
    model.load_state_dict(checkpoint['state_dict'], strict=True)
    assert checkpoint['meta']['dataset_meta']['classes'][3] == '3'
    assert not estimator.weights(genotype, None, tmp_path / 'none.pth')


def test_budget_overrides_the_estimator(space, config, genotype):
    estimator = TrainingEstimator(space, config, epochs=5, train_images=8)
    evaluation = estimator.evaluate(genotype, Budget(epochs=1, images=4, resolution=32), seed=0)
    assert evaluation.fidelity == dict(epochs=1, images=4, resolution=32, train_images=8)
    assert evaluation.cost['images'] == 8


def test_averaged_weights_are_what_is_saved(space, config, genotype, tmp_path):
    config.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    estimator = TrainingEstimator(space, config, **SMALL)
    estimator.evaluate(genotype, Budget(), seed=0, folder=tmp_path / 'averaged')
    config.custom_hooks = []
    estimator = TrainingEstimator(space, config, **SMALL)
    estimator.evaluate(genotype, Budget(), seed=0, folder=tmp_path / 'last')
    averaged, last = (torch.load(tmp_path / name / 'weights.pth', weights_only=True)['state_dict']
                      for name in ('averaged', 'last'))
    assert averaged.keys() == last.keys()
    assert not torch.equal(averaged['bbox_head.retina_cls.weight'], last['bbox_head.retina_cls.weight'])


def test_mixed_precision_trains_and_evaluates(space, config, genotype):
    evaluation = TrainingEstimator(space, config, amp=True, **SMALL).evaluate(genotype, Budget(), seed=0)
    assert np.isfinite(evaluation.curve[0][1])


def test_faults_are_found_before_any_trial(space, config):
    with pytest.raises(ValueError, match='13 images asked for, but the split of .*val.json has 12'):
        TrainingEstimator(space, config, images=13).check()
    with pytest.raises(ValueError, match='has 24'):
        TrainingEstimator(space, config, train_images=25).check()
    config.train_dataloader.dataset.pipeline.insert(2, dict(type='Mosaic'))
    with pytest.raises(ValueError, match="'Mosaic'"):
        TrainingEstimator(space, config, resolution=64)


def test_fingerprint_follows_recipe_data_and_arguments(space, prepared, tmp_path):
    own = TrainingEstimator(space, prepared, epochs=2).fingerprint
    assert own == TrainingEstimator(space, copy.deepcopy(prepared), epochs=2).fingerprint
    assert own != TrainingEstimator(space, prepared, epochs=3).fingerprint
    other = copy.deepcopy(prepared)
    other.optim_wrapper.optimizer.lr = 0.1
    assert own != TrainingEstimator(space, other, epochs=2).fingerprint

    moved = copy.deepcopy(prepared)
    copied = tmp_path / 'elsewhere.json'
    text = Path(prepared.train_dataloader.dataset.ann_file).read_text()
    copied.write_text(text)
    moved.train_dataloader.dataset.ann_file = str(copied)
    assert own == TrainingEstimator(space, moved, epochs=2).fingerprint
    copied.write_text(text.replace('"iscrowd"', ' "iscrowd"'))
    assert own != TrainingEstimator(space, moved, epochs=2).fingerprint
