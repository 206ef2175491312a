import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import save_checkpoint

import nasdet.models  # noqa: F401 - registers
from nasdet.convert import backbone_to_detector

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


def test_the_head_of_a_backbone_is_left_out(detector):
    backbone = dict(type='DetNASNet', genotype='detnas_coco_fpn_300m', head=True, num_classes=3, dropout=0.1)
    classifier = dict(type='ImageClassifier', backbone=backbone, data_preprocessor=NORMALISED)
    model = backbone_to_detector(classifier, 'weights.pth', detector)
    assert model.backbone.keys() == {'type', 'genotype', 'out_indices', 'init_cfg'}
    assert model.neck.in_channels == [64, 160, 320, 640]


def test_a_backbone_of_other_strides_is_refused(detector):
    """Small images are classified without the first three reductions of a detector's backbone."""
    backbone = dict(type='CellNetwork', genotype='darts_v2_cifar', num_cells=(1, 1, 1), width=4, num_classes=3,
                    fc_bias=False, auxiliary=True, auxiliary_head=dict(kernel=2))
    classifier = dict(type='ImageClassifier', backbone=backbone, data_preprocessor=NORMALISED)
    with pytest.raises(ValueError, match=r'maps of the strides \[1, 2, 4, 8, 16\], but bbox_head .RetinaHead. exp'):
        backbone_to_detector(classifier, 'weights.pth', detector)
    backbone['stem'] = 'darts_imagenet'
    model = backbone_to_detector(classifier, 'weights.pth', detector)
    assert not {'num_classes', 'fc_bias', 'auxiliary', 'auxiliary_head'} & model.backbone.keys()
    assert model.neck.in_channels == [4, 16, 32, 64]
