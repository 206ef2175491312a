"""Published widths, as genotypes of a WidthSpace, against published and recomputed costs."""

import pytest
import torch
from mmengine.config import ConfigDict

from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.channels import Resource
from nasdet.models.meta import build_on_meta
from nasdet.spaces import WidthSpace

# Yu, Huang: AutoSlim: Towards One-Shot Architecture Search for Channel Numbers. arXiv:1903.11728; the lists are of
# the authors' code: stem, the first block's output, (expansion, output) of 16 blocks, the last convolution.
AUTOSLIM = {
    206767048: (4125104, [8, 8, 96, 16, 96, 16, 96, 24, 144, 24, 144, 24, 144, 48, 288, 48, 288, 48, 288, 48, 288, 64,
                          432, 64, 432, 64, 648, 176, 720, 176, 720, 176, 1440, 280, 1920]),
    305072416: (5767288, [8, 8, 96, 16, 96, 16, 96, 24, 144, 24, 144, 24, 144, 56, 288, 56, 288, 56, 288, 56, 288, 96,
                          432, 96, 432, 96, 864, 240, 1440, 240, 960, 240, 1440, 480, 1920]),
    504934400: (6495992, [32, 16, 144, 24, 176, 24, 192, 48, 240, 48, 144, 48, 264, 88, 288, 88, 336, 88, 432, 88, 576,
                          144, 576, 144, 648, 144, 864, 240, 1440, 240, 1440, 240, 1440, 480, 1920])}
# What the authors' Keras example made of ResNet-50 on CIFAR-10: stem, then of each stage its output and the inner
# widths of its blocks; 0 is a block of which only the shortcut is left.
KERAS = [13, (64, [(25, 4), (0, 0), (0, 0)]), (54, [(13, 7), (0, 0), (0, 0), (0, 0)]),
         (69, [(51, 42), (0, 0), (0, 0), (4, 16), (6, 8), (0, 0)]), (102, [(0, 0), (0, 0), (24, 3)])]


def mobilenet() -> WidthSpace:
    return WidthSpace(ConfigDict(type='ImageClassifier', num_classes=1000, in_channels=1280,
                                 backbone=dict(type='MobileNetV2', out_indices=(7,))), (3, 224, 224))


def resnet(num_classes: int, side: int) -> WidthSpace:
    """ResNet-50 with the stride in the first convolution of a block."""
    return WidthSpace(ConfigDict(type='ImageClassifier', num_classes=num_classes, in_channels=2048,
                                 backbone=dict(type='ResNet', depth=50, style='caffe')), (3, side, side))


def autoslim(widths: list) -> Genotype:
    named = {'backbone.conv1.conv': widths[0], 'backbone.layer1.0.linear_conv.conv': widths[1],
             'backbone.conv2.conv': widths[-1]}
    pairs = iter(zip(widths[2:-1:2], widths[3:-1:2], strict=True))
    for stage, blocks in enumerate([2, 3, 4, 3, 3, 1], start=2):
        for block in range(blocks):
            expansion, output = next(pairs)
            named[f'backbone.layer{stage}.{block}.expand_conv.conv'] = expansion
            assert named.setdefault(f'backbone.layer{stage}.0.linear_conv.conv', output) == output
    return Genotype('WidthSpace', dict(widths=named))


@pytest.mark.parametrize('macs', AUTOSLIM)
def test_autoslims_mobilenets(macs):
    space, (params, widths) = mobilenet(), AUTOSLIM[macs]
    network = build_on_meta(space.apply(autoslim(widths), space.model))
    assert count(network, (3, 224, 224)) == dict(macs=macs, params=params)
    assert space.cost(autoslim(widths)) == pytest.approx(macs, abs=0.01)


def test_the_mobilenet_and_the_resnet_that_they_were_made_of():
    space = mobilenet()
    assert count(build_on_meta(space.model), (3, 224, 224)) == dict(macs=300774272, params=3504872)
    assert (resnet(1000, 224).cost(resnet(1000, 224).seed()), resnet(10, 32).cost(resnet(10, 32).seed())) == (
        3857973248, 78712832)
    assert [resnet(classes, 32).cost(resnet(classes, 32).seed(), 'params') for classes in (1000, 10)] == [
        25502912, 23475392]


@pytest.mark.parametrize('classes, side, macs, weights', [(1000, 224, 42412912, 154159), (10, 32, 864508, 53179)])
def test_what_the_authors_example_left_of_resnet_50(classes, side, macs, weights):
    space = resnet(classes, side)
    widths = {'backbone.conv1': KERAS[0]}
    for stage, (output, blocks) in enumerate(KERAS[1:], start=1):
        widths[f'backbone.layer{stage}.0.conv3'] = output
        for block, inner in enumerate(blocks):
            widths.update({f'backbone.layer{stage}.{block}.conv{number}': width
                           for number, width in enumerate(inner, start=1)})
    share = torch.ones(space.channels.num_channels, dtype=torch.float64)
    for name, group in space.groups.items():
        share[group.channels] = widths[name] / group.size
    assert Resource(space.channels, 'macs').cost(share) == pytest.approx(macs, abs=0.01)
    assert Resource(space.channels, 'params').cost(share) == pytest.approx(weights, abs=0.01)
