"""The space of a network's widths: what is built has them, costs what is said, and takes a slice of the weights."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.channels import slice_channels, trace_channels
from nasdet.models.meta import build_on_meta
from nasdet.spaces import WidthSpace, detector
from nasdet.testing import check_space
from tests.models.channels.networks import build, config, draw_alive, run, small

CLASSIFIER = ConfigDict(type='ImageClassifier', num_classes=3, in_channels=32,
                        backbone=dict(type='ResNet', depth=18, base_channels=4, norm_eval=False))


def slim(space: WidthSpace, seed: int) -> tuple[Genotype, torch.Tensor]:
    """Draw which channels live, and return the genotype that has their numbers."""
    alive = draw_alive(space.channels, seed)
    widths = {name: int(alive[group.channels].sum()) * group.step for name, group in space.groups.items()}
    return Genotype('WidthSpace', dict(widths=widths)), alive


def test_conforms():
    check_space(WidthSpace(CLASSIFIER, (3, 32, 32), largest=1.5), np.random.default_rng(0), CLASSIFIER, samples=3)


@pytest.mark.parametrize('name', ['retinanet', 'fcos', 'mask_rcnn', 'nas_fpn'])
def test_the_network_of_a_genotype_is_the_slice_of_the_whole_one(name):
    """It takes the slice's weights strictly, and computes the same in evaluation mode."""
    model = small(name)
    space = WidthSpace(model, (3, 64, 64))
    genotype, alive = slim(space, 5)
    whole, narrow = build(model), build(space.apply(genotype, model))
    slice_channels(whole, space.channels, alive)
    narrow.load_state_dict(whole.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 64)
    for a, b in zip(run(whole, image), run(narrow, image), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert type(narrow.backbone) is type(whole.backbone)
    detector.check(space.apply(genotype, model))


@pytest.mark.parametrize('name', ['retinanet', 'fcos'])
def test_the_cost_is_that_of_the_network(name):
    model = small(name)
    space = WidthSpace(model, (3, 128, 128))
    for genotype in (space.seed(), slim(space, 0)[0], space.expanded(slim(space, 1)[0], 3 * space.cost(space.seed()))):
        network = build_on_meta(space.apply(genotype, model))
        assert space.cost(genotype) == pytest.approx(count(network, (3, 128, 128))['macs'], rel=1e-9)
        weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
        assert space.cost(genotype, 'params') == pytest.approx(weights, rel=1e-9)


@pytest.mark.parametrize('target', ['macs', 'params', 'activations', dict(type='latency', peak=8.1e12, bandwidth=3e11)])
@pytest.mark.parametrize('factor', [0.5, 1.0, 1.7])
def test_an_expansion_costs_what_it_may(target, factor):
    space = WidthSpace(config('retinanet'), (3, 256, 256), divisor=8)
    shares = np.random.default_rng(0).uniform(0.2, 1, len(space.groups))
    widths = {name: max(8, round(group.size * share / 8) * 8)
              for (name, group), share in zip(space.groups.items(), shares, strict=True)}
    budget = factor * space.cost(space.seed(), target)
    expanded = space.expanded(Genotype('WidthSpace', dict(widths=widths)), budget, target)
    assert 0.98 * budget <= space.cost(expanded, target) <= budget
    ratios = [expanded.value['widths'][name] / widths[name] for name in widths if widths[name] > 160]
    assert max(ratios) - min(ratios) < 0.06     # one factor, up to rounding to 8 channels


def test_the_seed_expanded_to_its_own_cost_is_the_seed():
    space = WidthSpace(CLASSIFIER, (3, 32, 32))
    assert space.expanded(space.seed(), space.cost(space.seed())) == space.seed()
    with pytest.raises(ValueError, match='the smallest network of this WidthSpace costs .* more than the budget of 10'):
        space.expanded(space.seed(), 10)
    with pytest.warns(UserWarning, match='or the space ends there'):
        space.expanded(space.seed(), 100 * space.cost(space.seed()))


def test_parts_and_divisor_bound_the_decisions():
    model = small('fcos')
    space = WidthSpace(model, (3, 64, 64), parts=('neck', 'bbox_head'), divisor=6, largest=2)
    assert list(space.groups)[:2] == ['neck.lateral_convs.0.conv', 'neck.fpn_convs.0.conv']
    legal = {choice.name: [token + 1 for token in choice.legal] for choice in space._choices}
    assert legal['neck.fpn_convs.0.conv'] == [6, 12, 16, 18, 24, 30]
    assert legal['bbox_head.cls_convs.0.conv'] == [12, 16, 24]      # groups of four channels each
    with pytest.raises(ValueError, match='no group of channels of this network begins with'):
        WidthSpace(model, (3, 64, 64), parts=('roi_head',)).seed()


def test_channels_that_pass_a_depthwise_convolution_are_two_at_least():
    """With one the convolution would be dense, and the network would have other groups of channels."""
    model = ConfigDict(type='ImageClassifier', num_classes=3, in_channels=1280,
                       backbone=dict(type='MobileNetV2', out_indices=(7,)))
    space = WidthSpace(model, (3, 32, 32), divisor=1)
    passing = 'backbone.layer2.0.expand_conv.conv'
    smallest = space.rounded(dict.fromkeys(space.groups, 1))
    assert smallest.value['widths'][passing] == 2
    assert set(smallest.value['widths'].values()) == {1, 2}
    graph = trace_channels(build_on_meta(space.apply(smallest, model)), (3, 32, 32))
    assert graph.groups.keys() == space.channels.groups.keys()
    with pytest.raises(ValueError, match=f'{passing} has width 1; widths here are 2 to'):
        space.encode(Genotype('WidthSpace', dict(widths={**smallest.plain()['widths'], passing: 1})))


def test_what_keeps_its_width_keeps_its_config():
    model = small('retinanet')
    space = WidthSpace(model, (3, 64, 64))
    assert space.apply(space.seed(), model) == model
    widths = {**space.seed().plain()['widths'], 'bbox_head.cls_convs.0.conv': 5}
    applied = space.apply(Genotype('WidthSpace', dict(widths=widths)), model)
    assert (applied.backbone, applied.neck) == (model.backbone, model.neck)
    assert applied.bbox_head.widths == {'cls_convs.0.conv': [16, 5], 'cls_convs.1.conv': [5, 16]}
    assert (applied.bbox_head.type, applied.bbox_head.of) == ('narrowed', 'RetinaHead')


def test_another_number_of_classes_is_the_same_network():
    model = small('retinanet')
    space = WidthSpace(model, (3, 64, 64))
    model.bbox_head.num_classes = 7
    network = build(space.apply(slim(space, 2)[0], model))
    assert run(network, torch.zeros(1, 3, 64, 64))[5].shape[1] == 7 * 9


def test_pretrained_weights_do_not_fit_and_are_dropped():
    model = config('retinanet')
    model.backbone.update(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'), frozen_stages=1)
    space = WidthSpace(model, (3, 64, 64), divisor=32)
    backbone = space.apply(space.expanded(space.seed(), 0.5 * space.cost(space.seed())), model).backbone
    assert 'init_cfg' not in backbone
    assert (backbone.frozen_stages, backbone.norm_eval) == (-1, False)


def test_wrong_genotypes_and_models_are_refused():
    space = WidthSpace(CLASSIFIER, (3, 32, 32))
    other = ConfigDict(**CLASSIFIER)
    other.backbone = dict(CLASSIFIER.backbone, base_channels=8)
    other.in_channels = 64
    with pytest.raises(ValueError, match='backbone.conv1 has 4 channels there and 8 in this one'):
        space.apply(space.seed(), other)
    widths = space.seed().plain()['widths']
    with pytest.raises(ValueError, match='backbone.conv1 has width 999; widths here are 1 to 16 in steps of 1'):
        space.encode(Genotype('WidthSpace', dict(widths={**widths, 'backbone.conv1': 999})))
    with pytest.raises(ValueError, match="look at 'neck'"):
        space.encode(Genotype('WidthSpace', dict(widths={**widths, 'neck': 1})))
