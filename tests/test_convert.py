import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import save_checkpoint

import nasdet.models  # noqa: F401 - registers
from nasdet import zoo
from nasdet.convert import backbone_to_detector, mmdet_nasfpn, to_mmdet_nasfpn

CLASSIFIER = dict(
    type='ImageClassifier', num_classes=3, in_channels=64,
    backbone=dict(type='ResNet10', base_channels=8, norm_eval=False, out_indices=(3,)),
    data_preprocessor=dict(mean=[10.0, 20.0, 30.0], std=[2.0, 4.0, 5.0]))


@pytest.fixture
def detector():
    """Return RetinaNet's model config as mmdet ships it, made narrow."""
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']", '.py').model
    model.neck.update(out_channels=8)
    model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
    return model


@pytest.fixture
def build_both(detector, tmp_path):
    """Return a function that trains nothing, but saves a classifier and builds the detector that takes its backbone."""
    def build(data_preprocessor, **options):
        cfg = {**CLASSIFIER, 'data_preprocessor': data_preprocessor}
        torch.manual_seed(0)
        classifier = MODELS.build(cfg)
        classifier.init_weights()
        for buffer in classifier.backbone.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
        path = tmp_path / 'classifier.pth'
        save_checkpoint(dict(state_dict=classifier.state_dict()), str(path))
        model = MODELS.build(backbone_to_detector(cfg, path, detector, **options))
        model.init_weights()
        return classifier.eval(), model.eval()
    return build


NORMALISED = CLASSIFIER['data_preprocessor']


@pytest.mark.parametrize('preprocessor', [NORMALISED, {**NORMALISED, 'rgb_to_bgr': True},
                                          {**NORMALISED, 'bgr_to_rgb': True}])
def test_one_photograph_has_the_same_features_in_both(build_both, preprocessor):
    classifier, detector = build_both(preprocessor)
    rgb = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    as_classified = classifier.data_preprocessor(dict(inputs=rgb.unsqueeze(0)))['inputs']
    as_detected = detector.data_preprocessor(dict(inputs=[rgb[[2, 1, 0]]], data_samples=None))['inputs']
    assert torch.equal(as_classified, as_detected)
    expected = classifier.extract_feat(as_classified)[-1]
    assert expected.abs().max() > 0
    assert torch.equal(expected, detector.backbone(as_detected)[-1])


def test_the_detector_has_the_same_weights_and_its_own_use_of_them(build_both):
    classifier, detector = build_both(NORMALISED, norm_eval=True, frozen_stages=1)
    weights = classifier.backbone.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in detector.backbone.state_dict().items())
    assert len(detector.extract_feat(torch.rand(1, 3, 64, 64))) == 5
    assert detector.backbone.norm_eval
    assert not any(parameter.requires_grad for parameter in detector.backbone.layer1.parameters())


def test_the_configs_given_stay_as_they_are_and_the_padding_stays_the_detectors(detector):
    before = copy.deepcopy(detector), copy.deepcopy(CLASSIFIER)
    model = backbone_to_detector(CLASSIFIER, 'weights.pth', detector)
    assert (detector, CLASSIFIER) == before
    assert model.data_preprocessor.pad_size_divisor == 32
    assert model.neck == {**detector.neck, 'in_channels': [8, 16, 32, 64]}
    assert model.backbone.init_cfg == dict(type='Pretrained', checkpoint='weights.pth', prefix='backbone.')


def test_a_classifier_that_hides_its_normalisation_is_refused(detector):
    cfg = {**CLASSIFIER, 'data_preprocessor': dict(mean=[1.0, 2.0, 3.0])}
    with pytest.raises(ValueError, match='no std in its data_preprocessor'):
        backbone_to_detector(cfg, 'weights.pth', detector)


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
