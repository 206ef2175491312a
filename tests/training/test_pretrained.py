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
    listed = ChoiceBlockSpace(STAGES, stem_channels=4, backbone=dict(init_cfg=[
        dict(type='Kaiming', layer='Conv2d'), dict(type='Pretrained', checkpoint='none.pth')]))
    init_cfg = listed.apply(listed.sample(np.random.default_rng(0)), DETECTOR).backbone.init_cfg
    assert [init.type for init in init_cfg] == ['Kaiming']


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match='no weights /.*none.pth for the backbone .DetNASSupernet. to start from'):
        check_pretrained(space(tmp_path / 'none.pth').supernet(DETECTOR))


@pytest.mark.parametrize('change', [
    dict(stages=[dict(channels=8, num_blocks=1), dict(channels=16, num_blocks=2)]),
    dict(stages=[dict(channels=8, num_blocks=2), dict(channels=12, num_blocks=2)])])
def test_weights_of_another_network_are_refused(classifier, tmp_path, change):
    cfg = space(tmp_path / 'pretrained.pth', **change).supernet(DETECTOR)
    with pytest.raises(ValueError, match=r'of another network than the backbone \(DetNASSupernet\): .* tensors are'):
        check_pretrained(cfg)


def test_weights_without_their_prefix_are_refused(classifier, tmp_path):
    torch.save(dict(state_dict=classifier.state_dict()), tmp_path / 'pretrained.pth')
    with pytest.raises(ValueError, match='is of another network'):
        check_pretrained(space(tmp_path / 'pretrained.pth').supernet(DETECTOR))


@pytest.mark.parametrize('prefix', [None, '', 'backbone', 'backbone.'])
@pytest.mark.parametrize('written', ['', 'backbone.', 'module.'])
def test_a_prefix_means_what_it_means_to_mmengine(classifier, tmp_path, prefix, written):
    """The check refuses just where mmengine would leave a tensor as it was."""
    path = tmp_path / 'pretrained.pth'
    torch.save({f'{written}{name}': tensor for name, tensor in classifier.state_dict().items()}, path)
    cfg = ConfigDict(CLASSIFIER, init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    built = MODELS.build(cfg)
    try:
        built.init_weights()
        loaded = all(torch.equal(tensor, classifier.state_dict()[name]) for name, tensor in built.state_dict().items())
    except AssertionError:      # mmengine: no name has that prefix
        loaded = False
    if loaded:
        check_pretrained(dict(backbone=cfg))
    else:
        with pytest.raises(ValueError, match='is of another network'):
            check_pretrained(dict(backbone=cfg))
    assert loaded == ((prefix, written) in {(None, ''), (None, 'module.'), ('backbone', 'backbone.'),
                                            ('backbone.', 'backbone.')})


def test_single_networks_and_lists_are_looked_at(classifier, tmp_path):
    own = ChoiceBlockSpace(STAGES, choices=CHOICES, stem_channels=4, head_channels=6)
    one, other = (own.decode(tokens).plain() for tokens in ((0, 0, 0), (1, 0, 0)))
    backbone = dict(type='DetNASNet', genotype=one, out_indices=(1,))
    torch.save(MODELS.build(backbone).state_dict(), tmp_path / 'one.pth')
    init = [dict(type='Kaiming', layer='Conv2d'), dict(type='Pretrained', checkpoint=str(tmp_path / 'one.pth'))]
    check_pretrained(dict(backbone=dict(backbone, init_cfg=init)))
    with pytest.raises(ValueError, match=r'another network than the backbone \(DetNASNet\): .* in model'):
        check_pretrained(dict(backbone=dict(backbone, genotype=other, init_cfg=init)))


def test_what_is_not_pretrained_or_not_ours_is_not_looked_at():
    check_pretrained(ChoiceBlockSpace(STAGES, stem_channels=4).supernet(DETECTOR))
    check_pretrained(dict(backbone=dict(type='ResNet', depth=50, init_cfg=dict(
        type='Pretrained', checkpoint='torchvision://no_such_network'))))
