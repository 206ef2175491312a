import copy
from contextlib import nullcontext

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from nasdet.datasets.dataloaders import innermost
from nasdet.estimators import SupernetEstimator
from nasdet.estimators.scoring import SupernetScorer
from nasdet.protocol import Budget
from nasdet.training import ProgressHook, recalibrated
from tests.estimators.toys import SMALL, genotypes


@pytest.fixture
def estimator(space, config, trained):
    estimator = SupernetEstimator(space, config, trained, **SMALL)
    estimator.prepare()
    estimator.setup()
    return estimator


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_training_leaves_weights_and_is_not_repeated(space, config, trained):
    assert sorted(path.name for path in (trained / 'supernet').iterdir()) == ['log.txt', 'weights.pth']
    changed = (trained / 'supernet' / 'weights.pth').stat().st_mtime_ns
    SupernetEstimator(space, config, trained, **SMALL).prepare()
    assert (trained / 'supernet' / 'weights.pth').stat().st_mtime_ns == changed


def test_a_killed_training_goes_on(space, config, trained, tmp_path, monkeypatch):
    class Kill(ProgressHook):
        def before_train_epoch(self, runner):
            if runner.epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('nasdet.training.progress.ProgressHook', Kill)
        with pytest.raises(KeyboardInterrupt):
            SupernetEstimator(space, config, tmp_path, **SMALL).prepare()
    assert (tmp_path / 'supernet' / 'epoch_1.pth').exists()
    resumed = SupernetEstimator(space, config, tmp_path, **SMALL)
    resumed.prepare()
    assert 'resumed epoch: 1' in (tmp_path / 'supernet' / 'log.txt').read_text()
    first, second = (torch.load(folder / 'supernet' / 'weights.pth', weights_only=True)['state_dict']
                     for folder in (trained, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_scores_are_repeatable_in_any_order_and_change_nothing(space, estimator, tmp_path):
    before = state(estimator.scorer.model)
    candidates = genotypes(space, 3)
    forward = [estimator.evaluate(genotype, Budget(), seed=0, folder=tmp_path) for genotype in candidates]
    backward = [estimator.evaluate(genotype, Budget(), seed=1) for genotype in reversed(candidates)]
    assert [score.metrics for score in forward] == [score.metrics for score in reversed(backward)]
    after = state(estimator.scorer.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not estimator.scorer.model.training
    used = sum(len(batch['data_samples']) for batch in estimator._batches('train', SMALL['recalibration_images']))
    assert used == 8    # of 9: a third batch would hold a single picture
    assert forward[0].cost['images'] == 12 and forward[0].fidelity['recalibration_images'] == used
    MODELS.build(Config.fromfile(str(tmp_path / 'config.py')).model)


def detections(model, config):
    """Boxes and scores of a plain detector on search-val."""
    loader = copy.deepcopy(config.val_dataloader)
    samples = []
    with torch.inference_mode():
        for batch in Runner.build_dataloader(loader):
            samples += [sample.pred_instances for sample in model.eval().test_step(batch)]
    return torch.cat([torch.cat([found.bboxes, found.scores[:, None]], 1) for found in samples])


def test_exported_weights_give_the_scored_detector(space, config, trained, estimator, tmp_path):
    genotype = genotypes(space, 1)[0]
    fresh = SupernetEstimator(space, config, trained, **SMALL)      # as the driver has it: never set up
    assert fresh.weights(genotype, None, tmp_path / 'weights.pth')
    detector = MODELS.build(space.apply(genotype, config.model))
    detector.load_state_dict(torch.load(tmp_path / 'weights.pth', weights_only=True)['state_dict'], strict=True)

    evaluator = Evaluator(config.val_evaluator)
    evaluator.dataset_meta = estimator.evaluator.dataset_meta
    for batch in Runner.build_dataloader(copy.deepcopy(config.val_dataloader)):
        with torch.inference_mode():
            evaluator.process(detector.eval().test_step(batch), batch)
    expected = estimator.evaluate(genotype, Budget(), seed=0).metrics
    assert evaluator.evaluate(12) == pytest.approx(expected, abs=1e-4)
    with estimator._on_path(genotype):
        found = [sample.pred_instances for batch in estimator._batches('val', None)
                 for sample in estimator.scorer.run(batch, 'predict')]
    found = torch.cat([torch.cat([boxes.bboxes, boxes.scores[:, None]], 1) for boxes in found])
    torch.testing.assert_close(found, detections(detector, config), rtol=1e-3, atol=1e-3)


def test_kept_images_and_read_images_score_alike(space, config, trained, estimator):
    genotype = genotypes(space, 1)[0]
    assert isinstance(estimator._batches('val', None), list)
    other = SupernetEstimator(space, config, trained, cache_megabytes=1e-6, num_workers=1, **SMALL)
    other.setup()
    assert other._batches('val', None).num_workers == other._batches('train', 9).num_workers == 1
    reference = estimator.evaluate(genotype, Budget(), seed=0).metrics
    assert other.evaluate(genotype, Budget(), seed=0).metrics == reference


def test_recalibration_is_of_the_path_and_of_neck_and_head_only(space, estimator):
    model = estimator.scorer.model
    before = state(model)
    with estimator._on_path(genotypes(space, 1)[0]):
        inside = state(model)
    changed = {name for name in before if not torch.equal(before[name], inside[name])}
    assert changed and not [name for name in changed if name.startswith('backbone')]
    assert all(name.endswith(('running_mean', 'running_var', 'num_batches_tracked')) for name in changed)
    norms = [name for name in before if name.startswith('neck.stacks') and name.endswith('running_mean')]
    assert 0 < len(changed & set(norms)) < len(norms)


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), None])
def test_recalibration_runs_heads_only_where_they_have_batch_norm(space, config, norm_cfg):
    init_default_scope('mmdet')
    config.model.bbox_head.norm_cfg = norm_cfg
    model = MODELS.build(space.supernet(config.model)).eval()
    model.neck.set_path(genotypes(space, 1)[0].plain())
    scorer = SupernetScorer(model, amp=False, cache_megabytes=1)
    batches = scorer.load(Runner.build_dataloader(copy.deepcopy(config.val_dataloader)))
    calls = []
    model.bbox_head.retina_cls.register_forward_hook(lambda *_: calls.append(1))    # for each of five levels
    states = []
    for forward in (scorer.calibrate, lambda batch: scorer.run(batch, 'tensor')):
        with torch.inference_mode(), recalibrated(model, batches, forward):
            states.append(state(model))
    assert len(calls) == 5 * len(batches) * (1 if norm_cfg is None else 2)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_images_of_the_budget_and_of_the_calibration(space, config, estimator):
    assert estimator.evaluate(genotypes(space, 1)[0], Budget(images=5), seed=0).cost['images'] == 5
    calibrated = [sample.img_id for batch in estimator._batches('train', 9) for sample in batch['data_samples']]
    assert len(calibrated) == 8     # of nine, whose last would have been a batch of one
    assert innermost(config, 'train').ann_file != innermost(config, 'val').ann_file
    with pytest.raises(ValueError, match='trained with, not'):
        estimator.evaluate(genotypes(space, 1)[0], Budget(epochs=3), seed=0)


def test_mixed_precision_is_close(space, config, trained, estimator):
    genotype = genotypes(space, 1)[0]
    other = SupernetEstimator(space, config, trained, amp=True, **SMALL)
    other.setup()
    half = other.evaluate(genotype, Budget(), seed=0).metrics
    assert half == pytest.approx(estimator.evaluate(genotype, Budget(), seed=0).metrics, abs=0.05)
    assert other.fingerprint != estimator.fingerprint


def test_a_checkpoint_of_ones_own(space, config, trained, tmp_path):
    weights = trained / 'supernet' / 'weights.pth'
    given = SupernetEstimator(space, config, tmp_path, checkpoint=str(weights), **SMALL)
    given.prepare()
    assert given.fingerprint == SupernetEstimator(space, config, trained, **SMALL).fingerprint
    with pytest.raises(ValueError, match='no supernet checkpoint'):
        SupernetEstimator(space, config, tmp_path, checkpoint=str(tmp_path / 'no.pth'), **SMALL).check()


def test_wrong_bins_of_paths_are_refused_before_anything_is_trained(space, config, tmp_path):
    cost = dict(type='Macs', scope='neck', input_shape=(3, 64, 64))
    for edges, refused in (([0, 1e12], False), ([1e12, 0], True)):
        sampling = dict(type='BinnedPaths', cost=cost, edges=edges)
        estimator = SupernetEstimator(space, config, tmp_path, sampling=sampling, **SMALL)
        with pytest.raises(ValueError, match='ascending numbers') if refused else nullcontext():
            estimator.check()
