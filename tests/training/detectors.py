"""A small elastic RetinaNet, and what its children are taught, written out on maps."""

import torch.nn.functional as F
from mmengine.config import Config, ConfigDict

from nasdet.spaces import ElasticSpace
from tests.conftest import ROOT
from tests.models.backbones.mbconv_helpers import mbconv_choices

SIZE = 64       # pixels


def small_retinanet() -> ConfigDict:
    """Return the small RetinaNet of the configs, narrower yet, of three classes, which reads two maps."""
    model = Config.fromfile(str(ROOT / 'configs/_base_/models/retinanet_r18_small.py')).model
    model.data_preprocessor.pad_size_divisor = 1
    model.neck.update(in_channels=[16, 32], out_channels=8, start_level=0, num_outs=3)
    model.bbox_head.update(num_classes=3, in_channels=8, feat_channels=8)
    model.bbox_head.anchor_generator.strides = [4, 8, 16]
    return model


def elastic_space(**settings) -> ElasticSpace:
    """Return a space whose maps have strides of 4 and 8 pixels."""
    return ElasticSpace(**{**mbconv_choices('efficientnet'), **settings})


def by_hand(student, teacher, anchors, bins=1, units=(1, 1, 1)):
    """Return the distillation loss of two outputs of a head, and the number of anchors that it is taken of."""
    total, number = 0, 0
    for level, unit in enumerate(units):
        n, _, height, width = teacher[0][level].shape
        ours, theirs = (outputs[0][level].reshape(n, anchors, -1, height, width) for outputs in (student, teacher))
        target = theirs.sigmoid()
        taught = target.amax(dim=2) > 0.05
        classes = -(target * F.logsigmoid(ours) + (1 - target) * F.logsigmoid(-ours)).sum(dim=2)
        ours, theirs = (outputs[1][level].reshape(n, anchors, 4, bins, height, width) for outputs in (student, teacher))
        if bins == 1:
            boxes = (ours - theirs).abs().sum(dim=(2, 3)) / unit
        else:
            target = theirs.softmax(dim=3)
            boxes = (target * (target.log() - ours.softmax(dim=3).log())).sum(dim=(2, 3))
        total += ((classes + boxes) * taught).sum()
        number += taught.sum()
    return total / number, int(number)
