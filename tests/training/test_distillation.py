"""What a detector's children are taught, head by head, against the rule written out on maps."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from nasdet.training.distillation import TAUGHT_SCORE, DenseOutputs, child_loss_of, dense_outputs, distillation_loss
from tests.training.detectors import by_hand, small_retinanet

CLASSES = 3
STRIDES = [8, 16]
ANCHORS = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=2, ratios=[1.0], strides=STRIDES)
SQUARES = dict(ANCHORS, scales_per_octave=1)
# Anchors at each place, numbers for each side of a box, and what the boxes of each level are divided by.
HEADS = {
    'RetinaHead': (dict(anchor_generator=ANCHORS), 2, 1, [1, 1]),
    'ATSSHead': (dict(anchor_generator=SQUARES), 1, 1, [1, 1]),
    'GFLHead': (dict(anchor_generator=SQUARES, reg_max=4, norm_cfg=None), 1, 5, [1, 1]),
    'FCOSHead': (dict(strides=STRIDES, norm_cfg=None), 1, 1, STRIDES),
    'FCOSHead on boxes': (dict(strides=STRIDES, norm_cfg=None, norm_on_bbox=True), 1, 1, [1, 1]),
}
CLASS_LAYERS = dict(RetinaHead='retina_cls', ATSSHead='atss_cls', GFLHead='gfl_cls', FCOSHead='conv_cls')


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope('mmdet')


def build_head(name):
    torch.manual_seed(0)
    head = MODELS.build(dict(type=name.partition(' ')[0], num_classes=CLASSES, in_channels=8, feat_channels=32,
                             stacked_convs=1, **HEADS[name][0])).train()
    head.init_weights()
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    nn.init.constant_(getattr(head, CLASS_LAYERS[type(head).__name__]).bias, -4.0)      # few score above 0.05
    return head


def outputs_of(head, seed):
    generator = torch.Generator().manual_seed(seed)
    return head([torch.randn(2, 8, size, size + 1, generator=generator) for size in (6, 3)])


@pytest.mark.parametrize('name', HEADS)
def test_the_loss_of_a_heads_outputs(name):
    _, anchors, bins, units = HEADS[name]
    head = build_head(name)
    student, teacher = outputs_of(head, 0), outputs_of(head, 1)
    expected, taught = by_hand(student, teacher, anchors, bins, units)
    places = sum(level.shape[0] * level[0, 0].numel() * anchors for level in teacher[0])
    assert 0 < taught < places
    loss = distillation_loss(dense_outputs(head, student), dense_outputs(head, teacher))
    torch.testing.assert_close(loss, expected)
    itself = dense_outputs(head, student)
    scores = itself.logits.sigmoid()
    taught = scores.amax(dim=1) > TAUGHT_SCORE
    entropy = torch.distributions.Bernoulli(probs=scores[taught]).entropy().sum() / taught.sum()
    torch.testing.assert_close(distillation_loss(itself, itself), entropy)      # the least that it can be


def test_only_what_the_teacher_sees_is_taught():
    """Of three anchors one has a score above 0.05; its classes and box alone have gradients."""
    teacher = DenseOutputs(torch.tensor([[0.0, -9.0], [-2.95, -9.0], [-9.0, -9.0]]), torch.zeros(3, 4))
    logits, boxes = torch.full((3, 2), 5.0, requires_grad=True), torch.ones(3, 4, requires_grad=True)
    distillation_loss(DenseOutputs(logits, boxes), teacher).backward()
    assert torch.sigmoid(torch.tensor(-2.95)) < 0.05
    torch.testing.assert_close(logits.grad[0], torch.full((2,), 5.0).sigmoid() - teacher.logits[0].sigmoid())
    assert boxes.grad[0].tolist() == [1, 1, 1, 1]
    assert not logits.grad[1:].any() and not boxes.grad[1:].any()
    blind = DenseOutputs(torch.full((3, 2), -9.0), torch.zeros(3, 4))
    assert distillation_loss(DenseOutputs(logits, boxes), blind) == 0


def changed(**changes):
    model = small_retinanet()
    model.bbox_head = ConfigDict({**model.bbox_head, **changes})
    return MODELS.build(model)


def test_refuses_what_it_has_no_rule_for():
    with pytest.raises(ValueError, match='not for a Linear'):
        child_loss_of(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r'what the outputs of RetinaHead, .* mean, not those of a FSAFHead'):
        child_loss_of(changed(type='FSAFHead', reg_decoded_bbox=True))
    with pytest.raises(ValueError, match='this RetinaHead has a softmax over classes: set use_sigmoid=True'):
        child_loss_of(changed(loss_cls=dict(type='CrossEntropyLoss')))
