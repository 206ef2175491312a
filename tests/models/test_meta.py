"""Networks on shapes alone, and what happens where an operator has no rule for shapes."""

import warnings

import pytest
import torch
from mmengine.config import Config

from nasdet.models.meta import build_on_meta, check_channels, output_shapes

DEFORMABLE = dict(type='ResNet', depth=50, base_channels=4, stage_with_dcn=(False, False, True, True))


@pytest.fixture
def detector():
    """Return RetinaNet's model config, made narrow."""
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']", '.py').model
    model.backbone = dict(type='ResNet', depth=50, base_channels=4)
    model.neck.update(in_channels=[16, 32, 64, 128], out_channels=8)
    model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
    return model


@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_shapes_of_a_backbone_with_deformable_convolutions(kind):
    plain = {**DEFORMABLE, 'stage_with_dcn': (False,) * 4}
    deformable = {**DEFORMABLE, 'dcn': dict(type=kind, deform_groups=1, fallback_on_stride=False)}
    state = torch.get_rng_state()
    assert output_shapes(deformable, (3, 72, 100)) == output_shapes(plain, (3, 72, 100))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_broken_backbone_says_what_is_wrong_with_it():
    with pytest.raises(RuntimeError, match='to have 3 channels, but got 4 channels'):
        output_shapes(DEFORMABLE, (4, 64, 64))


def test_channels_that_do_not_fit_are_refused(detector):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_channels(build_on_meta(detector), (3, 64, 64))
        detector.neck.in_channels = [16, 32, 48, 128]
        with pytest.raises(ValueError, match='neck.lateral_convs.1.conv reads 48 channels, but is given 64'):
            check_channels(build_on_meta(detector), (3, 64, 64))


def test_a_detector_that_does_not_run_on_shapes_is_not_checked_and_says_so(detector):
    detector.backbone = {**DEFORMABLE, 'dcn': dict(type='DCN', deform_groups=1, fallback_on_stride=False)}
    with pytest.warns(UserWarning, match='channels of this RetinaNet fit is not checked, .* CPU tensor'):
        check_channels(build_on_meta(detector), (3, 64, 64))
