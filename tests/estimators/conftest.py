"""A detector and a few pictures, small enough to train in a test."""

import copy

import pytest
from mmengine.config import Config


@pytest.fixture(scope='session')
def prepared(repo_root, tmp_path_factory):
    """The small RetinaNet on 24 + 12 + 4 pictures of 64 px, prepared as a search prepares it."""
    from nasdet.datasets import prepare
    base = repo_root / 'configs' / '_base_'
    files = [base / 'models' / 'retinanet_r18_small.py', base / 'datasets' / 'coco_small.py',
             base / 'schedules' / 'adamw_cosine.py']
    work_dir = tmp_path_factory.mktemp('prepared')
    (work_dir / 'raw.py').write_text(f'_base_ = {[str(file) for file in files]}\n')
    cfg = Config.fromfile(str(work_dir / 'raw.py'))
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.test_cfg.update(score_thr=0.0, max_per_img=20)
    cfg.train_dataloader.batch_size = cfg.val_dataloader.batch_size = 4
    cfg.search = dict(data=dict(type='digits', train=24, val=12, test=4, size=64))
    config = prepare(cfg, work_dir)
    config.pop('search')
    return config


@pytest.fixture
def config(prepared):
    """A copy that a test may change."""
    return copy.deepcopy(prepared)


@pytest.fixture
def space():
    """Merging cells of eight channels."""
    from nasdet.spaces import MergingCellSpace
    return MergingCellSpace(num_cells=6, neck=dict(out_channels=8, stack_times=1))


@pytest.fixture(scope='session')
def trained(prepared, tmp_path_factory):
    """The work dir of a trained supernet of :func:`space`."""
    from nasdet.estimators import SupernetEstimator
    from nasdet.spaces import MergingCellSpace
    from tests.estimators.toys import SMALL
    space = MergingCellSpace(num_cells=6, neck=dict(out_channels=8, stack_times=1))
    work_dir = tmp_path_factory.mktemp('search')
    SupernetEstimator(space, prepared, work_dir, **SMALL).prepare()
    return work_dir
