"""Searched necks in MMDetection's own detectors: losses, gradients and predictions, with nothing else changed."""

from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config

from nasdet.spaces.merging_cells import MergingCellSpace

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
LOWER, UPPER = (2, 3, 4, 5, 6), (3, 4, 5, 6, 7)
DETECTORS = [
    ('retinanet/retinanet_r50_fpn_1x_coco.py', UPPER), ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', UPPER),
    ('atss/atss_r50_fpn_1x_coco.py', UPPER), ('gfl/gfl_r50_fpn_1x_coco.py', UPPER),
    ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', LOWER), ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', UPPER),
    ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', LOWER), ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', UPPER)]


def small(path):
    """MMDetection's config with a tiny backbone and thin heads."""
    model = Config.fromfile(str(CONFIGS / path)).model
    model.backbone.update(depth=18, base_channels=16, init_cfg=None)
    for name in ('bbox_head', 'rpn_head'):
        if name in model:
            model[name].feat_channels = 32
    if 'roi_head' in model:
        model.roi_head.bbox_head.fc_out_channels = 32
    if 'roi_head' in model and 'mask_head' in model.roi_head:
        model.roi_head.mask_head.conv_out_channels = 16
    (model.test_cfg.rcnn if 'roi_head' in model else model.test_cfg).update(score_thr=0.0, max_per_img=5)
    return model


@pytest.mark.parametrize('path, levels', DETECTORS)
def test_a_random_genotype_trains_and_predicts(path, levels):
    register_all_modules(init_default_scope=True)
    space = MergingCellSpace(levels=levels, extra_projection=True, stacks=(1, 2), widths=(16, 24),
                             convs=('dense', 'separable'), head_depths=(1, 2))
    model = small(path)
    space.check_model(model)
    torch.manual_seed(0)
    detector = MODELS.build(space.apply(space.sample(np.random.default_rng(0)), model))
    images = demo_mm_inputs(2, [[3, 128, 128], [3, 96, 128]], num_items=[3, 2], num_classes=80, with_mask=True)

    losses = detector(**detector.data_preprocessor(images, True), mode='loss')
    loss, _ = detector.parse_losses(losses)
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    for name, parameter in detector.neck.named_parameters():
        assert parameter.requires_grad and parameter.grad is not None and parameter.grad.isfinite().all(), name

    detector.eval()
    with torch.no_grad():
        results = detector(**detector.data_preprocessor(images, False), mode='predict')
    for result in results:
        found = result.pred_instances
        assert found.bboxes.shape == (5, 4) and found.bboxes.isfinite().all()
        assert 'mask' not in path or found.masks.shape == (5, *result.ori_shape)
