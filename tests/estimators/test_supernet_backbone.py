"""Supernet scoring where the backbone is searched, alone and together with the neck."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from nasdet.estimators import SupernetEstimator
from nasdet.protocol import Budget
from nasdet.spaces import ChoiceBlockSpace, MergingCellSpace, ProductSpace
from nasdet.training import PathSamplingHook
from tests.estimators.toys import SMALL

STAGES = [dict(channels=width, num_blocks=1) for width in (8, 12, 16, 20)]
BINS = dict(type='BinnedPaths', cost=dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 64, 64)),
            edges=[0, 300e3, 1e6])


@pytest.fixture
def backbone():
    return ChoiceBlockSpace(STAGES, stem_channels=4)


@pytest.fixture
def both(backbone):
    return ProductSpace(dict(backbone=backbone, neck=MergingCellSpace(
        num_cells=6, neck=dict(out_channels=8, stack_times=1))))


def one_epoch(space, config, folder, **options):
    estimator = SupernetEstimator(space, config, folder, **{**SMALL, 'epochs': 1}, **options)
    estimator.check()
    estimator.prepare()
    estimator.setup()
    return estimator


def test_backbone_and_neck_are_trained_scored_and_extracted_together(both, config, tmp_path):
    estimator = one_epoch(both, config, tmp_path, sampling=BINS)
    genotypes = [both.sample(np.random.default_rng(seed)) for seed in range(3)]
    scores = [estimator.evaluate(genotype, Budget(), seed=0).metrics for genotype in genotypes]
    assert [estimator.evaluate(genotype, Budget(), seed=0).metrics for genotype in reversed(genotypes)] == scores[::-1]
    assert estimator.weights(genotypes[0], None, tmp_path / 'weights.pth')
    detector = MODELS.build(both.apply(genotypes[0], config.model)).eval()
    detector.load_state_dict(torch.load(tmp_path / 'weights.pth', weights_only=True)['state_dict'], strict=True)
    images = torch.rand(2, 3, 64, 64)
    with estimator._on_path(genotypes[0]):
        maps = estimator.scorer.model.extract_feat(images)
    assert all(torch.equal(own, shared) for own, shared in zip(detector.extract_feat(images), maps, strict=True))


def test_training_touches_the_blocks_of_its_paths_only(backbone, config, tmp_path):
    estimator = one_epoch(backbone, config, tmp_path, sampling=BINS)
    hook = PathSamplingHook(backbone, seed=0, sampling=BINS)
    hook.before_train(SimpleNamespace(cfg=dict(model=config.model)))
    trained = [hook.path(0, iteration).plain()['stages'] for iteration in range(6)]     # 24 pictures, 4 at once
    taken = [{stages[number]['blocks'][0] for stages in trained} for number in range(4)]
    counted = [{kind for kind, block in stage[0].items() if block.branch[1].num_batches_tracked}
               for stage in estimator.scorer.model.backbone.stages]
    assert counted == taken and any(len(kinds) < 4 for kinds in taken)


def test_maps_of_a_searched_backbone_cannot_be_kept(both, config, tmp_path):
    with pytest.raises(ValueError, match='ProductSpace searches backbone, neck of a RetinaNet: leave'):
        SupernetEstimator(both, config, tmp_path, cache_features=True, **SMALL).check()
