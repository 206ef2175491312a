"""The bridge from the NAS-FPN space to MMDetection's detector configs."""

import copy
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.spaces import detector
from nasdet.spaces.merging_cells import MergingCellSpace

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
ATSS = 'atss/atss_r50_fpn_1x_coco.py'
GFL = 'gfl/gfl_r50_fpn_1x_coco.py'
NASFPN = 'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'
REPPOINTS = 'reppoints/reppoints-moment_r50_fpn_1x_coco.py'
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
CASCADE = 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py'
GA_FASTER_RCNN = 'guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco.py'
CASCADE_RPN = 'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py'
DYHEAD = 'dyhead/atss_r50_fpn_dyhead_1x_coco.py'
LIBRA = 'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py'
ONE_STAGE, TWO_STAGE = (3, 4, 5, 6, 7), (2, 3, 4, 5, 6)
LOADED, DRAWN = dict(type='Pretrained', checkpoint='x.pth'), dict(type='Kaiming', layer='Conv2d')


def model_config(path):
    return Config.fromfile(str(CONFIGS / path)).model


def test_channels_and_strides_of_a_backbone():
    backbone = model_config(RETINANET).backbone
    assert detector.backbone_channels(backbone) == [256, 512, 1024, 2048]
    assert detector.backbone_strides(backbone) == [4, 8, 16, 32]
    assert detector.backbone_channels({**backbone, 'depth': 18, 'out_indices': (1, 3)}) == [128, 512]


@pytest.mark.parametrize('path, levels', [(RETINANET, ONE_STAGE), (FCOS, ONE_STAGE), (REPPOINTS, ONE_STAGE),
                                          (FASTER_RCNN, TWO_STAGE), (CASCADE, TWO_STAGE)])
def test_strides_of_stock_detectors(path, levels):
    model = model_config(path)
    detector.check(model)
    assert detector.neck_strides(model) == [2 ** level for level in levels]
    MergingCellSpace(levels=levels).check_model(model)


@pytest.mark.parametrize('path', [RETINANET, FCOS, REPPOINTS])
def test_strides_must_fit_a_one_stage_head(path):
    with pytest.raises(ValueError, match=r'strides .* but bbox_head \(\w+\) expects .*: change the levels'):
        MergingCellSpace(levels=TWO_STAGE).check_model(model_config(path))


@pytest.mark.parametrize('path', [FASTER_RCNN, CASCADE, GA_FASTER_RCNN, CASCADE_RPN])
def test_strides_reach_every_part_of_a_two_stage_detector(path):
    model = model_config(path)
    model.roi_head.bbox_roi_extractor = [model.roi_head.bbox_roi_extractor] * 2     # as cascades may write it
    before = copy.deepcopy(model)
    space = MergingCellSpace(levels=ONE_STAGE)
    genotype = space.sample(np.random.default_rng(0))
    for applied in (space.apply(genotype, model), space.supernet(model)):
        detector.check(applied)
        assert '[8, 16, 32, 64, 128]' in str(applied.rpn_head) and '[4, 8,' not in str(applied.rpn_head)
        for extractor in (*applied.roi_head.bbox_roi_extractor, applied.roi_head.get('mask_roi_extractor')):
            assert extractor is None or extractor.featmap_strides == [8, 16, 32, 64]
        assert space.apply(genotype, applied).roi_head == applied.roi_head      # fitting twice changes nothing
    assert model == before


def test_a_region_is_read_at_the_same_stride_whatever_the_levels():
    model, sides = model_config(FASTER_RCNN), torch.tensor([60.0, 120.0, 224.0, 450.0])
    regions = torch.stack([torch.zeros(4), torch.zeros(4), torch.zeros(4), sides, sides], dim=1)
    read = {}
    for levels in (TWO_STAGE, ONE_STAGE):
        extractor = MODELS.build(MergingCellSpace(levels=levels).supernet(model).roi_head.bbox_roi_extractor)
        chosen = extractor.map_roi_levels(regions, extractor.num_inputs)
        read[levels] = [extractor.featmap_strides[index] for index in chosen]
    assert read[TWO_STAGE] == [4, 8, 16, 32] and read[ONE_STAGE] == [8, 8, 16, 32]


def test_check_sees_strides_that_do_not_fit():
    model = model_config(FASTER_RCNN)
    model.roi_head.bbox_roi_extractor.featmap_strides = [8, 16, 32]
    with pytest.raises(ValueError, match=r'roi_head.bbox_roi_extractor expects \[8, 16, 32\]'):
        detector.check(model)
    model = model_config(GA_FASTER_RCNN)
    model.rpn_head.square_anchor_generator.strides = [8, 16, 32, 64, 128]
    with pytest.raises(ValueError, match=r'rpn_head \(GARPNHead\) expects \[8, 16, 32, 64, 128\]'):
        detector.check(model)


def test_check_has_nothing_against_stock_ssd():
    detector.check(model_config('ssd/ssd300_coco.py'))


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
    for neck, words in [(None, 'has no neck'), ([model.neck] * 2, r'neck\[1\] \(FPN\) has in_channels=\[256, 512')]:
        with pytest.raises(ValueError, match=words):
            MergingCellSpace().check_model({**model_config(RETINANET), 'neck': neck})


@pytest.mark.parametrize('path, levels', [(DYHEAD, ONE_STAGE), (LIBRA, TWO_STAGE)])
def test_necks_after_the_first_are_kept(path, levels):
    model, space = model_config(path), MergingCellSpace(levels=levels, neck=dict(out_channels=64))
    applied = space.apply(space.sample(np.random.default_rng(0)), model)
    assert [neck.type for neck in applied.neck] == ['MergingCellFPN', model.neck[1].type]
    assert applied.neck[1] == {**model.neck[1], **{name: 64 for name in ('in_channels', 'out_channels')
                                                   if name in model.neck[1]}}
    space.check_model(model)


# ---- head depth


@pytest.mark.parametrize('path, name, argument', [
    (RETINANET, 'bbox_head', 'stacked_convs'), (FCOS, 'bbox_head', 'stacked_convs'),
    (ATSS, 'bbox_head', 'stacked_convs'), (GFL, 'bbox_head', 'stacked_convs'),
    (NASFPN, 'bbox_head', 'stacked_convs'), (FASTER_RCNN, 'rpn_head', 'num_convs')])
def test_head_depth_is_the_number_of_convolutions(path, name, argument):
    model = model_config(path)
    deeper = [detector.head_depth_to_heads(model, depth) for depth in (1, 3)]
    assert [cfg[name][argument] for cfg in deeper] == [1, 3]
    convolutions = [sum(isinstance(module, torch.nn.Conv2d) for module in getattr(build_on_meta(cfg), name).modules())
                    for cfg in deeper]
    assert convolutions[1] > convolutions[0]


def test_head_depth_refuses_heads_without_such_an_argument():
    space = MergingCellSpace(head_depths=(1, 2))
    model = model_config(REPPOINTS)
    model.bbox_head.type = 'YOLACTHead'
    with pytest.raises(ValueError, match=r'bbox_head \(YOLACTHead\) has no argument stacked_convs'):
        space.check_model(model)
    with pytest.raises(ValueError, match=r'rpn_head \(CascadeRPNHead\) has no argument num_convs'):
        MergingCellSpace(levels=TWO_STAGE, head_depths=(1, 2)).check_model(model_config(CASCADE_RPN))
    del model['bbox_head']
    with pytest.raises(ValueError, match='neither bbox_head nor rpn_head'):
        space.check_model(model)


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


def test_apply_writes_what_the_genotype_decides():
    space = MergingCellSpace(stacks=(1, 2), widths=(32, 64), convs=('dense', 'separable'), head_depths=(1, 3))
    value = dict(space.sample(np.random.default_rng(0)).plain(), stacks=2, width=64, conv='separable', head_depth=3)
    applied = space.apply(Genotype(space.name, value), model_config(RETINANET))
    assert (applied.neck.stack_times, applied.neck.out_channels, applied.neck.genotype) == (2, 64, value)
    assert (applied.bbox_head.in_channels, applied.bbox_head.stacked_convs) == (64, 3)
    build_on_meta(applied)


@pytest.mark.parametrize('settings, words', [
    (dict(widths=(32, 64)), r'one width, .* \[32, 64\]: use TrainingEstimator'),
    (dict(head_depths=(1, 2)), r'one head_depth, .* \[1, 2\]: use TrainingEstimator'),
    (dict(neck=dict(drop_block=dict(drop_prob=0.1, block_size=3))), 'no DropBlock: .* use TrainingEstimator')])
def test_a_supernet_refuses_what_it_cannot_have(settings, words):
    space = MergingCellSpace(**settings)
    with pytest.raises(ValueError, match=words):
        space.supernet(model_config(RETINANET))
    space.check_model(model_config(RETINANET))      # a training of each candidate does not mind


def test_a_supernet_has_the_most_stacks_and_every_convolution():
    space = MergingCellSpace(stacks=(3, 1), widths=(32,), convs=('dense', 'separable'), head_depths=(2,))
    model = space.supernet(model_config(RETINANET))
    assert (model.neck.stack_times, model.neck.out_channels, model.neck.convs) == (3, 32, ['dense', 'separable'])
    assert (model.bbox_head.in_channels, model.bbox_head.stacked_convs) == (32, 2)
    neck = build_on_meta(model).neck
    rng = np.random.default_rng(0)
    for _ in range(5):
        neck.set_path(space.sample(rng).plain())


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


@pytest.mark.parametrize('given, kept', [
    (None, None), (LOADED, None), (DRAWN, DRAWN), ([LOADED], None), ([DRAWN, LOADED], [DRAWN])])
def test_a_backbone_without_the_weights_of_another_architecture(given, kept):
    backbone = dict(type='ResNet', depth=18)
    expected = backbone if kept is None else dict(backbone, init_cfg=kept)
    for config in (dict(backbone, init_cfg=given), ConfigDict(backbone, init_cfg=given)):
        assert detector.without_weights(config) == expected
