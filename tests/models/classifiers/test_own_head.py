"""A backbone with a head of its own inside ImageClassifier, as a supernet is pre-trained, and what a detector takes."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import save_checkpoint

import nasdet.models  # noqa: F401 - registers
from tests.models.backbones.helpers import HEAD, STAGES, STEM, WIDTHS, choice_genotype, drawn_genotypes

SUPERNET = dict(type='DetNASSupernet', stages=STAGES, stem_channels=STEM, head_channels=HEAD)
CLASSIFIER = dict(type='ImageClassifier', label_smoothing=0.1,
                  data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0]))
IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(**backbone):
    torch.manual_seed(0)
    model = MODELS.build({**CLASSIFIER, 'backbone': {**dict(head=True, num_classes=4, dropout=0.0), **backbone}})
    model.init_weights()
    return model


def test_a_supernet_learns_in_the_classifier():
    model, labels = build(**SUPERNET), torch.arange(8) % 4
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for value in 20 * drawn_genotypes(2):
        model.backbone.set_path(value)
        loss = model(IMAGES, labels, mode='loss')['loss']
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    assert model(IMAGES, mode='predict')[0].score.shape == (4,)


@pytest.mark.parametrize('backbone', [SUPERNET, dict(type='DetNASNet', genotype=choice_genotype())])
def test_a_detector_takes_the_whole_backbone_from_the_classifiers_checkpoint(backbone, tmp_path):
    classifier = build(**backbone)
    save_checkpoint(dict(state_dict=classifier.state_dict()), str(tmp_path / 'step1.pth'))
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']", '.py').model
    model.backbone = dict(backbone, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'step1.pth'),
                                                  prefix='backbone.'))
    model.neck.update(in_channels=list(WIDTHS), out_channels=8)
    model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
    detector = MODELS.build(model)
    detector.init_weights()
    weights = classifier.backbone.state_dict()
    assert weights.keys() - detector.backbone.state_dict().keys() == {
        name for name in weights if name.startswith('head.')}
    for name, value in detector.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_the_classifier_has_no_second_head():
    model = build(type='DetNASNet', genotype=choice_genotype())
    assert all(name.startswith('backbone.') for name in model.state_dict())
    model.eval()
    assert torch.equal(model(IMAGES), model.backbone(IMAGES))


@pytest.mark.parametrize('given', [dict(num_classes=4), dict(in_channels=24), dict(dropout=0.2)])
def test_half_a_head_is_refused(given):
    with pytest.raises(ValueError, match='give both num_classes and in_channels, or'):
        MODELS.build({**CLASSIFIER, **given, 'backbone': dict(type='DetNASNet', genotype=choice_genotype(), head=True)})
