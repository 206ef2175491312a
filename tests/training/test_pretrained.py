"""Weights that a supernet starts from: its own, all of them, or a refusal before anything is trained."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nasdet.spaces import ChoiceBlockSpace
from nasdet.training.pretrained import check_pretrained

STAGES = [dict(channels=8, num_blocks=1), dict(channels=12, num_blocks=2)]
CHOICES = ('shuffle3', 'xception')
CLASSIFIER = dict(type='DetNASSupernet', stages=STAGES, choices=CHOICES, stem_channels=4, head_channels=6, head=True,
                  out_indices=(1,), num_classes=3)
DETECTOR = ConfigDict(type='RetinaNet', backbone=dict(type='ResNet', depth=18), bbox_head=dict(type='RetinaHead',
                      num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1),
                      neck=dict(type='FPN', in_channels=[8, 12], out_channels=8, num_outs=2))


def space(checkpoint, stages=STAGES):
    backbone = dict(init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.'))
    return ChoiceBlockSpace(stages, choices=CHOICES, stem_channels=4, head_channels=6, backbone=backbone)


@pytest.fixture
def classifier(tmp_path):
    """A trained supernet with an ImageNet head, and its checkpoint as a training writes it."""
    torch.manual_seed(0)
    trained = MODELS.build(CLASSIFIER)
    trained.init_weights()
    for buffer in trained.buffers():
        buffer.add_(1)
    state = {f'backbone.{name}': tensor for name, tensor in trained.state_dict().items()}
    torch.save(dict(meta=dict(epoch=1), state_dict=state), tmp_path / 'pretrained.pth')
    return trained


def test_the_detection_supernet_starts_from_the_classification_supernet(classifier, tmp_path):
    cfg = space(tmp_path / 'pretrained.pth').supernet(DETECTOR)
    check_pretrained(cfg)
    supernet = MODELS.build(cfg.backbone)
    supernet.init_weights()
    theirs = classifier.state_dict()
    assert len(supernet.state_dict()) > 100
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in supernet.state_dict().items())


def test_a_single_network_does_not_start_from_a_supernets_weights(tmp_path):
    pretrained = space(tmp_path / 'pretrained.pth')
    genotype = pretrained.sample(np.random.default_rng(0))
    assert 'init_cfg' not in pretrained.apply(genotype, DETECTOR).backbone
    drawn = ChoiceBlockSpace(STAGES, stem_channels=4, backbone=dict(init_cfg=dict(type='Kaiming', layer='Conv2d')))
    assert drawn.apply(drawn.sample(np.random.default_rng(0)), DETECTOR).backbone.init_cfg.type == 'Kaiming'


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'there are no weights /.*none.pth for the supernet to start from: train'):
        check_pretrained(space(tmp_path / 'none.pth').supernet(DETECTOR))


@pytest.mark.parametrize('change', [
    dict(stages=[dict(channels=8, num_blocks=1), dict(channels=16, num_blocks=2)]),
    dict(stages=[dict(channels=8, num_blocks=2), dict(channels=12, num_blocks=2)])])
def test_weights_of_another_network_are_refused(classifier, tmp_path, change):
    cfg = space(tmp_path / 'pretrained.pth', **change).supernet(DETECTOR)
    with pytest.raises(ValueError, match='is of another network than the supernet: .* tensors of the backbone are not'):
        check_pretrained(cfg)


def test_weights_without_their_prefix_are_refused(classifier, tmp_path):
    torch.save(dict(state_dict=classifier.state_dict()), tmp_path / 'pretrained.pth')
    with pytest.raises(ValueError, match='is of another network'):
        check_pretrained(space(tmp_path / 'pretrained.pth').supernet(DETECTOR))


def test_what_is_not_pretrained_is_not_looked_at():
    check_pretrained(ChoiceBlockSpace(STAGES, stem_channels=4).supernet(DETECTOR))
