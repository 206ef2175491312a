"""Deep supervision: the losses of every stack, and the exits, against mmdet's own detectors with the same weights."""

import copy
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import DefaultScope

import nasdet.models  # noqa: F401 - registers
from nasdet.spaces.detector import neck_width_to_heads

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
SINGLE = {'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py', 'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
          'ATSS': 'atss/atss_r50_fpn_1x_coco.py', 'GFL': 'gfl/gfl_r50_fpn_1x_coco.py'}
TWO = {'FasterRCNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'MaskRCNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'}
STACKS = 3


def cells(levels):
    """Return a top-down pyramid: the coarsest level first, then each from its input and the cell before."""
    number = len(levels)
    return [dict(level=levels[-1], op='sum', inputs=[number - 2, number - 1], output=True)] + [
        dict(level=levels[offset], op='gp', inputs=[offset, 2 * number - 2 - offset], output=True)
        for offset in reversed(range(number - 1))]


def model_config(name):
    """Return a detector of mmdet, made small, with a neck of three stacks."""
    model = neck_width_to_heads(Config.fromfile(str(CONFIGS / {**SINGLE, **TWO}[name])).model, 8)
    levels = [3, 4, 5, 6, 7] if name in SINGLE else [2, 3, 4, 5, 6]
    model.backbone = dict(type='ResNet10', base_channels=4)
    model.neck = dict(
        type='MergingCellFPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=5, start_level=levels[0] - 2,
        stack_times=STACKS, norm_cfg=dict(type='GN', num_groups=2),
        genotype=dict(levels=levels, gp_mode='reference', top='pool', conv_bias=True, cells=cells(levels)))
    if name in SINGLE:
        model.bbox_head.update(num_classes=3, feat_channels=8, stacked_convs=1)
        if name != 'RetinaNet':
            model.bbox_head.norm_cfg = dict(type='GN', num_groups=2)
        model.test_cfg.update(score_thr=0.0, nms_pre=50, max_per_img=20)
    else:
        model.rpn_head.feat_channels = 8
        model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)
        model.roi_head.bbox_head.update(num_classes=3, fc_out_channels=16)
        if 'mask_head' in model.roi_head:
            model.roi_head.mask_head.update(num_classes=3, conv_out_channels=8, num_convs=1)
    return model


def build(model, **changes):
    torch.manual_seed(0)
    model = copy.deepcopy(model)
    model.neck.update(changes)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(model)
    detector.init_weights()
    return detector.eval()      # batch norm of the backbone then treats every call alike


def deep(name, **options):
    model = model_config(name)
    model.update(type='DeeplySupervisedSingleStage' if name in SINGLE else 'DeeplySupervisedTwoStage', **options)
    return build(model)


def batch(detector, with_mask):
    data = demo_mm_inputs(2, [[3, 128, 128], [3, 100, 128]], num_classes=3, with_mask=with_mask)
    data = detector.data_preprocessor(data, True)
    return data['inputs'], data['data_samples']


def total(detector, losses):
    return detector.parse_losses(losses)[0]


@pytest.mark.parametrize('name', [*SINGLE, *TWO])
def test_it_sums_the_losses_of_mmdets_detector_at_every_exit(name):
    detector = deep(name)
    inputs, samples = batch(detector, name == 'MaskRCNN')
    torch.manual_seed(1)        # two-stage detectors draw proposals
    losses = detector.loss(inputs, samples)
    total(detector, losses).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all()
               for parameter in detector.parameters() if parameter.requires_grad)

    exits = [build(model_config(name), exit_stack=number) for number in range(1, STACKS + 1)]
    torch.manual_seed(1)
    expected = {}
    for number, stock in enumerate(exits, start=1):
        stock.load_state_dict(detector.state_dict(), strict=True)
        expected.update({f'stack{number}.{key}': loss for key, loss in stock.loss(inputs, samples).items()})
    assert losses.keys() == expected.keys()
    for key, loss in expected.items():
        torch.testing.assert_close(losses[key], loss, rtol=0, atol=0, msg=key)
    assert total(detector, losses) == total(detector, expected) > 0


@pytest.mark.parametrize('name', ['RetinaNet', 'FasterRCNN'])
@torch.no_grad()
def test_it_predicts_as_mmdets_detector_at_every_exit(name):
    detector = deep(name)
    inputs, samples = batch(detector, False)
    scores = []
    for exit_stack in [*range(1, STACKS + 1), None]:
        stock = build(model_config(name), exit_stack=exit_stack)
        stock.load_state_dict(detector.state_dict(), strict=True)
        detector.neck.exit_stack = exit_stack
        ours, theirs = (each.predict(inputs, copy.deepcopy(samples)) for each in (detector, stock))
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)
            assert torch.equal(one.pred_instances.scores, other.pred_instances.scores)
        scores.append(torch.cat([one.pred_instances.scores for one in ours]))
    assert torch.equal(scores[-1], scores[-2]) and not torch.equal(scores[0], scores[1])


def test_weights_of_the_stacks():
    detector, weighted = deep('RetinaNet'), deep('RetinaNet', stack_weights=[0, 0.5, 2])
    weighted.load_state_dict(detector.state_dict())
    inputs, samples = batch(detector, False)
    plain, losses = detector.loss(inputs, samples), weighted.loss(inputs, samples)
    for key, loss in losses.items():
        factor = dict(stack1=0, stack2=0.5, stack3=2)[key.partition('.')[0]]
        torch.testing.assert_close(sum(loss), factor * sum(plain[key]))


@pytest.mark.parametrize('base, classes', [(SingleStageDetector, SINGLE), (TwoStageDetector, TWO)])
def test_mmdets_detectors_add_nothing_to_their_base(base, classes):
    """Else a DeeplySupervised detector with the same heads would be another detector."""
    for name in classes:
        cls = MODELS.get(name)
        assert cls.__bases__ == (base,)
        assert not vars(cls).keys() & {'loss', 'predict', 'forward', '_forward', 'extract_feat'}


def test_refusals():
    with pytest.raises(ValueError, match=r'stack_weights=\[1, 1\], but the neck has 3 stacks'):
        deep('RetinaNet', stack_weights=[1, 1])
    model = model_config('RetinaNet')
    model.type = 'DeeplySupervisedSingleStage'
    model.neck = dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=5, start_level=1)
    with pytest.raises(ValueError, match='needs a neck of stacks, MergingCellFPN, and has FPN'):
        build(model)
