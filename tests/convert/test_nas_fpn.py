import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import save_checkpoint

import nasdet.models  # noqa: F401 - registers
from nasdet import zoo
from nasdet.convert import mmdet_nasfpn, to_mmdet_nasfpn


@pytest.fixture
def nas_fpn():
    """Return mmdet's NAS-FPN detector as it ships it, made narrow."""
    model = Config.fromstring("_base_ = ['mmdet::nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py']", '.py').model
    model.backbone = dict(type='ResNet10', base_channels=4)
    model.neck.update(in_channels=[4, 8, 16, 32], out_channels=8, stack_times=2)
    model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
    return model


def test_a_checkpoint_of_mmdets_nas_fpn_detector_loads_and_goes_back(nas_fpn, tmp_path):
    theirs = MODELS.build(nas_fpn).eval()
    save_checkpoint(dict(state_dict=theirs.state_dict()), str(tmp_path / 'theirs.pth'))
    ours = copy.deepcopy(nas_fpn)
    ours.neck.update(type='MergingCellFPN', genotype=zoo.load('nas_fpn_mmdet').plain())
    ours = MODELS.build(ours).eval()
    checkpoint = torch.load(tmp_path / 'theirs.pth', weights_only=True)['state_dict']
    ours.load_state_dict(mmdet_nasfpn(checkpoint), strict=True)
    image = torch.randn(1, 3, 128, 128)
    for our_maps, their_maps in zip(ours(image), theirs(image), strict=True):
        for one, other in zip(our_maps, their_maps, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)

    back = to_mmdet_nasfpn(ours.state_dict())
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, back[name]) for name, tensor in theirs.state_dict().items())
    again = MODELS.build(nas_fpn)
    again.load_state_dict(back, strict=True)


@pytest.mark.parametrize('name', ['fpn_stages.0.gp_43_5.out_conv.conv.weight', 'lateral_convs', 'fpn_convs.0.weight'])
def test_weights_of_another_neck_are_refused(name):
    for prefix in ('', 'neck.'):
        with pytest.raises(ValueError, match=f"'{name}' is not a weight of mmdet.models.necks.NASFPN"):
            mmdet_nasfpn({prefix + name: torch.zeros(1)})
        with pytest.raises(ValueError, match="'stacks.0.7.conv.bias' is not a weight of a MergingCellFPN"):
            to_mmdet_nasfpn({f'{prefix}stacks.0.7.conv.bias': torch.zeros(1)})
