"""The bridge from the NAS-FPN space to MMDetection's detector configs."""

import copy
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from nasdet.models.meta import build_on_meta
from nasdet.spaces import detector
from nasdet.spaces.merging_cells import MergingCellSpace

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
REPPOINTS = 'reppoints/reppoints-moment_r50_fpn_1x_coco.py'
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
CASCADE = 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py'
ONE_STAGE, TWO_STAGE = (3, 4, 5, 6, 7), (2, 3, 4, 5, 6)


def model_config(path):
    return Config.fromfile(str(CONFIGS / path)).model


def test_channels_and_strides_of_a_backbone():
    backbone = model_config(RETINANET).backbone
    assert detector.backbone_channels(backbone) == [256, 512, 1024, 2048]
    assert detector.backbone_strides(backbone) == [4, 8, 16, 32]
    assert detector.backbone_channels({**backbone, 'depth': 18, 'out_indices': (1, 3)}) == [128, 512]


@pytest.mark.parametrize('path, levels', [(RETINANET, ONE_STAGE), (FCOS, ONE_STAGE), (REPPOINTS, ONE_STAGE),
                                          (FASTER_RCNN, TWO_STAGE), (CASCADE, TWO_STAGE)])
def test_strides_must_fit_the_heads(path, levels):
    model = model_config(path)
    detector.check(model)
    assert detector.neck_strides(model) == [2 ** level for level in levels]
    MergingCellSpace(levels=levels).check_model(model)
    other = ONE_STAGE if levels == TWO_STAGE else TWO_STAGE
    with pytest.raises(ValueError, match=r'strides .* but (bbox|rpn)_head \(\w+\) expects .*: change the levels'):
        MergingCellSpace(levels=other).check_model(model)


def test_strides_must_fit_the_roi_extractor():
    model = model_config(FASTER_RCNN)
    model.roi_head.bbox_roi_extractor.featmap_strides = [8, 16, 32]
    with pytest.raises(ValueError, match=r'roi_head.bbox_roi_extractor expects \[8, 16, 32\]'):
        MergingCellSpace(levels=TWO_STAGE).check_model(model)


def test_strides_by_default_of_the_heads_class():
    model = model_config(FCOS)
    del model.bbox_head['strides']      # AnchorFreeHead's default starts at 4
    with pytest.raises(ValueError, match=r'bbox_head \(FCOSHead\) expects \[4, 8, 16, 32, 64\]'):
        MergingCellSpace().check_model(model)


def test_refuses_detectors_without_the_finest_level_or_a_neck():
    model = model_config(RETINANET)
    model.backbone.out_indices = (2, 3)
    with pytest.raises(ValueError, match=r'level 3 has stride 8, but .* strides \[16, 32\]'):
        MergingCellSpace().check_model(model)
    for neck in (None, [model.neck, model.neck]):
        with pytest.raises(ValueError, match='replaces the one neck'):
            MergingCellSpace().check_model({**model_config(RETINANET), 'neck': neck})


@pytest.mark.parametrize('path, levels', [(RETINANET, ONE_STAGE), (FASTER_RCNN, TWO_STAGE)])
def test_apply_gives_a_whole_new_config(path, levels):
    model, space = model_config(path), MergingCellSpace(levels=levels, neck=dict(stack_times=2))
    before = copy.deepcopy(model)
    genotype = space.sample(np.random.default_rng(0))
    applied = space.apply(genotype, model)
    assert model == before
    assert applied.neck == dict(
        type='MergingCellFPN', genotype=genotype.plain(), in_channels=[256, 512, 1024, 2048], out_channels=256,
        num_outs=5, start_level=levels[0] - 2, stack_times=2, norm_cfg=dict(type='BN'))
    assert {**applied, 'neck': None} == {**before, 'neck': None}
    applied.neck.genotype.cells.clear()
    assert space.apply(genotype, model).neck.genotype == genotype.plain()
    build_on_meta(applied)


@pytest.mark.parametrize('path', [RETINANET, FCOS, FASTER_RCNN, CASCADE])
def test_another_width_reaches_every_head(path):
    model = detector.neck_width_to_heads(model_config(path), 32)
    model.neck.out_channels = 32
    built = build_on_meta(model)
    heads = [getattr(built, name) for name in ('bbox_head', 'rpn_head') if hasattr(built, name)]
    maps = [torch.empty(1, 32, size, size, device='meta') for size in (64, 32, 16, 8, 4)]
    for head in heads:
        head.eval()
        head(maps)
    if hasattr(built, 'roi_head'):
        listed = torch.nn.ModuleList        # one a stage in a cascade
        extractors, heads = built.roi_head.bbox_roi_extractor, built.roi_head.bbox_head
        for extractor in extractors if isinstance(extractors, listed) else [extractors]:
            assert extractor.out_channels == 32
        for head in heads if isinstance(heads, listed) else [heads]:
            head(torch.empty(2, 32, 7, 7, device='meta'))


def test_detector_with_a_supernet_and_with_a_genotype_of_another_width():
    model = model_config(RETINANET)
    model.backbone.update(depth=18, init_cfg=None)
    space = MergingCellSpace(neck=dict(out_channels=8, stack_times=1))
    genotype = space.sample(np.random.default_rng(0))
    image = torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    supernet = MODELS.build(dict(space.supernet(model), data_preprocessor=None)).eval()
    supernet.neck.set_path(genotype.plain())
    alone = MODELS.build(dict(space.apply(genotype, model), data_preprocessor=None)).eval()
    alone.neck = supernet.neck.extract(genotype.plain())
    alone.backbone, alone.bbox_head = supernet.backbone, supernet.bbox_head
    for ours, theirs in zip(alone(image), supernet(image), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
