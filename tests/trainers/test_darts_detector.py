"""DARTS on a detector: the backbone's cells are searched while a RetinaNet learns to detect."""

from contextlib import closing

import pytest
import torch
from mmengine.config import Config

from nasdet.config import load_config
from nasdet.search.trained import TrainedSearch
from nasdet.spaces import detector
from nasdet.training import BilevelTrainLoop
from tests.trainers.test_darts import state_of

BASES = ['models/retinanet_r18_small.py', 'datasets/coco_small.py', 'schedules/adamw_cosine.py']
TRAIN, BATCH = 6, 2
CONFIG = f"""
train_dataloader = dict(batch_size={BATCH})
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.01, momentum=0.9))
model = dict(neck=dict(out_channels=8), bbox_head=dict(in_channels=8, feat_channels=8))
search = dict(
    data=dict(type='digits', train={TRAIN}, val=4, test=2, size=64),
    space=dict(type='DARTSSpace', num_blocks=2, ops=('id', 'sep3'), backbone=dict(
        num_cells=(1, 1, 1), width=4, stem='darts_imagenet', out_indices=(0, 1, 2, 3))),
    trainer=dict(type='DARTSTrainer', epochs=1, architecture=dict(lr=0.02)),
    objective='coco/bbox_mAP')
"""


@pytest.fixture
def config(tmp_path, repo_root) -> Config:
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {[str(repo_root / "configs" / "_base_" / name) for name in BASES]}\n{CONFIG}')
    return load_config(str(path))


@pytest.mark.parametrize('order', [1, 2])
def test_the_backbones_cells_are_searched_while_the_detector_learns(config, tmp_path, monkeypatch, order):
    step, moved = BilevelTrainLoop._step_architecture, []

    def watched(loop, batch):
        before = state_of(loop.runner)
        loss = step(loop, batch)
        after = state_of(loop.runner)
        moved.append({name for name in after if not torch.equal(before[name], after[name])})
        assert torch.isfinite(loss)
        return loss

    monkeypatch.setattr(BilevelTrainLoop, '_step_architecture', watched)
    config.search.trainer.order = order
    with closing(TrainedSearch.from_cfg(config, str(tmp_path / 'search'))) as search:
        found = search.run()
        assert search.best.result.metrics['coco/bbox_mAP'] >= 0
        assert search.trainer.images == 2 * TRAIN
    assert moved == [{'backbone.alphas.normal', 'backbone.alphas.reduce'}] * (TRAIN // BATCH)
    model = load_config(str(tmp_path / 'search' / 'best' / 'config.py')).model
    assert model.backbone.type == 'CellNetwork' and model.backbone.genotype == found.plain()
    assert model.neck.in_channels == [4, 8, 16, 32]
    detector.check(model)
    detector.check_channels(model)
