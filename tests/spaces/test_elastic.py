"""The elastic spaces: sizes, extremes, decisions, what they refuse, and what they make of detectors."""

import copy
import re
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from nasdet import zoo
from nasdet.costs import count
from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.spaces import ElasticSpace, detector
from nasdet.testing import check_space
from nasdet.training import extracted_state, recalibrated, set_path
from tests.models.backbones.mbconv_helpers import mbconv_choices
from tests.spaces.helpers import every_genotype

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
YOLOX = 'yolox/yolox_s_8xb8-300e_coco.py'       # its neck reads three maps
HEAD = dict(head=True)
CLASSIFIER = ConfigDict(type='ImageClassifier', backbone=dict(type='MBConvNet', head=True, num_classes=5))
SPACE = ElasticSpace('attentivenas')


def model_config(path):
    return Config.fromfile(str(CONFIGS / path)).model


def rng():
    return np.random.default_rng(0)


def small(stages=2, **settings):
    """Return a space of a few genotypes."""
    choices = mbconv_choices(semantics='efficientnet')
    choices['stages'] = choices['stages'][:stages]
    return ElasticSpace(**{**choices, 'stem_channels': [8], 'head_channels': [16, 32], **settings})


def test_the_size_of_attentivenas():
    assert ElasticSpace('attentivenas', backbone=HEAD).size() == 440_301_256_704
    assert SPACE.size() == 440_301_256_704 // 4     # no resolution


def test_the_size_is_the_number_of_genotypes():
    space = small(resolution=[32, 48, 64], backbone=HEAD)
    genotypes = list(every_genotype(space))
    assert space.size() == len(genotypes) == len(set(genotypes)) == 3 * 2 * 2 * 2 * 3 * 3 * 2 * 2
    assert len({space.key(genotype) for genotype in genotypes}) == len(genotypes)


@pytest.mark.parametrize('preset, pick, params, mmacs, backbone_params, backbone_mmacs', [
    ('bignas', 'smallest', 3_747_412, 206.74, 2_054_252, 190.7),
    ('bignas', 'largest', 10_892_790, 1843.03, 8_985_358, 1792.1),
    ('attentivenas', 'smallest', 8_954_184, 203.39, 4_556_224, 189.2),
    ('attentivenas', 'largest', 23_404_080, 1939.34, 18_448_840, 1910.3)])
def test_the_smallest_and_largest_child(preset, pick, params, mmacs, backbone_params, backbone_mmacs):
    space = ElasticSpace(preset, backbone=HEAD)
    genotype = getattr(space, pick)()
    shape = (3, genotype.value['resolution'], genotype.value['resolution'])
    network = build_on_meta(space.apply(genotype, CLASSIFIER).backbone | dict(num_classes=1000))
    backbone = build_on_meta(dict(type='MBConvNet', genotype=genotype.plain()))
    for counted, expected, digits in ((count(network, shape), (params, mmacs), 2),
                                      (count(backbone, shape), (backbone_params, backbone_mmacs), 1)):
        assert (counted['params'], round(counted['macs'] / 1e6, digits)) == expected


@pytest.mark.parametrize('preset, resolutions, size', [('bignas', 5, 100), ('attentivenas', 4, 288)])
def test_the_coarse_grid_holds_both_extremes_and_goes_from_small_to_large(preset, resolutions, size):
    """BigNAS, section 3.3: depth, width and kernel of the whole network at once; 2 widths, as many of the others."""
    space = ElasticSpace(preset, backbone=HEAD)
    grid = list(space.coarse_grid())
    assert len({space.key(genotype) for genotype in grid}) == len(grid) == size
    assert {space.key(space.smallest()), space.key(space.largest())} <= {space.key(genotype) for genotype in grid}
    assert len({genotype.value['resolution'] for genotype in grid}) == resolutions
    for genotype in grid:
        space.check(genotype)
        sizes = [(stage['channels'] > own['channels'][0]) for stage, own
                 in zip(genotype.value['stages'], space.choices_of_children['stages'], strict=True)]
        assert len(set(sizes)) == 1     # all widths small, or all large


def test_published_networks_lie_in_the_spaces():
    space = ElasticSpace('attentivenas', backbone=HEAD)
    assert space.smallest() == zoo.load('attentivenas_a0')
    for number in range(7):
        space.check(zoo.load(f'attentivenas_a{number}'))
    ElasticSpace('bignas', backbone=HEAD).check(zoo.load('efficientnet_b0'))


@pytest.mark.parametrize('space', [
    ElasticSpace('bignas', backbone=HEAD), SPACE, small(), small(4, backbone=dict(out_indices=(1,)))])
def test_conforms(space):
    check_space(space, rng(), samples=8)


def test_decisions_go_with_the_image():
    space = small(1, resolution=[32], backbone=HEAD)
    names = [choice.name for choice, _ in space.walk(space.draw(rng()))]
    assert names == ['resolution', 'stem.channels', 'stage1.channels', 'stage1.depth', 'stage1.kernel',
                     'stage1.expansion', 'head.channels']


def test_what_a_network_does_not_have_makes_no_other_network():
    """A backbone has no head, and none of the stages after its last map."""
    space = small(4, backbone=dict(out_indices=(0, 1)))
    first, value = space.smallest(), space.smallest().plain()
    value['head_channels'] = 32
    value['stages'][2].update(depth=2, kernel=5)
    other = Genotype(space.name, value)
    assert other != first and space.key(other) == space.key(first) and space.canonical(other) == first
    networks = [build_on_meta(dict(type='MBConvNet', genotype=genotype.plain(), **space.backbone))
                for genotype in (first, other)]
    assert str(networks[0]) == str(networks[1])
    value['stages'][1]['kernel'] = 5
    assert space.key(Genotype(space.name, value)) != space.key(first)
    classifier = small(4, backbone=HEAD)
    assert classifier.key(other) != classifier.key(first)


@pytest.mark.parametrize('path, strides', [(RETINANET, [4, 8, 16, 32]), (FASTER_RCNN, [4, 8, 16, 32]),
                                           (YOLOX, [8, 16, 32])])
def test_fits_the_detectors_of_mmdet(path, strides):
    model = model_config(path)
    check_space(SPACE, rng(), model, samples=1)
    before = copy.deepcopy(model)
    genotype = SPACE.smallest()
    applied = SPACE.apply(genotype, model)
    assert applied.neck == {**before.neck, 'in_channels': [24, 32, 112, 216][-len(strides):]}
    assert {**applied, 'neck': 0, 'backbone': 0} == {**before, 'neck': 0, 'backbone': 0}
    assert detector.backbone_strides(applied.backbone) == strides
    assert applied.backbone.out_indices == (1, 2, 4, 6)[-len(strides):]


def test_a_classifier_has_the_classes_of_its_config():
    space = small(resolution=[32, 48], backbone=HEAD)
    space.check_model(CLASSIFIER)
    classifier = MODELS.build(space.apply(space.largest(), CLASSIFIER))
    assert classifier(torch.rand(2, 3, 40, 40)).shape == (2, 5) and classifier.backbone.resolution == 48
    supernet = MODELS.build(space.supernet(CLASSIFIER))
    assert supernet.backbone.head.fc.out_features == 5
    given = small(backbone=dict(head=True, num_classes=7)).apply(small().smallest(), CLASSIFIER)
    assert given.backbone.num_classes == 7


def test_the_supernet_of_a_detector_holds_every_detector():
    """Backbone and the pyramid's laterals: outputs of a child and of its own detector differ by 0.0."""
    space = ElasticSpace(**mbconv_choices())
    model = model_config(RETINANET)
    model.update(neck=dict(model.neck, in_channels=[1, 1], start_level=0, out_channels=16, num_outs=5))
    model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        shared = MODELS.build(space.supernet(model))
    shared.init_weights()
    assert type(shared.neck).__name__ == 'ElasticFPN' and shared.neck.in_channels == [24, 48]
    images = torch.rand(2, 3, 64, 64)
    for seed in range(2):
        genotype = space.sample(np.random.default_rng(seed))
        set_path(shared, space, genotype)
        with DefaultScope.overwrite_default_scope('mmdet'):
            alone = MODELS.build(space.apply(genotype, model)).eval()
        with torch.no_grad(), recalibrated(shared, [images], shared):
            alone.load_state_dict(extracted_state(shared, space, genotype))
            outputs = [sum(map(tuple, network(images)), ()) for network in (shared, alone)]
        assert len(outputs[0]) == 2 * 5 and outputs[0][0].std() > 0
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(*outputs, strict=True))


def test_a_neck_reads_any_width_only_if_it_is_an_fpn():
    model = model_config(YOLOX)
    with pytest.raises(ValueError, match="maps of different widths, and only mmdet's FPN can"):
        SPACE.supernet(model)
    with pytest.raises(ValueError, match='the children give ImageClassifier maps of different widths'):
        small(4).supernet(ConfigDict(type='ImageClassifier', backbone=dict(), in_channels=512, num_classes=3))
    stages = [{**stage, 'channels': stage['channels'][:1]} for stage in SPACE.choices_of_children['stages']]
    same = ElasticSpace('attentivenas', stages=stages)
    assert same.supernet(model).neck.type == model.neck.type
    assert same.supernet(model_config(RETINANET)).neck.type == 'FPN'


def test_graph_is_a_chain_of_blocks():
    graph = SPACE.graph(zoo.load('attentivenas_a6'))
    assert len(graph.nodes) == 1 + 22 and len(graph.edges) == 22
    assert [(a, b) for a, b, _ in graph.edges] == [
        (one['id'], other['id']) for one, other in zip(graph.nodes, graph.nodes[1:], strict=False)]
    assert graph.nodes[-1]['label'] == 'MB6 3x3 224'


@pytest.mark.parametrize('settings, words', [
    (dict(), 'takes a preset, one of bignas, attentivenas, or else stages'),
    (dict(preset='ofa'), "one of bignas, attentivenas, not 'ofa'"),
    (dict(preset='bignas', stem_channels=[32, 32]), 'stem.channels is chosen from a list of different values'),
    (dict(preset='bignas', semantics='mobilenet'), "not 'mobilenet'"),
    (dict(preset='bignas', backbone=dict(stages=3)), 'stages follows from the space, so leave it out')])
def test_refuses_wrong_arguments(settings, words):
    with pytest.raises(ValueError, match=words):
        ElasticSpace(**settings)


def test_refuses_foreign_genotypes():
    for space, genotype, words in [
            (SPACE, zoo.load('attentivenas_a0'), 'choose their resolution from None, the genotype has 192'),
            (ElasticSpace('attentivenas', backbone=HEAD), zoo.load('efficientnet_b0'), "semantics='attentivenas', the"),
            (SPACE, zoo.load('detnas_coco_fpn_300m'), 'this genotype is of ChoiceBlockSpace, not of ElasticSpace')]:
        with pytest.raises(ValueError, match=re.escape(words)):
            space.check(genotype)


def test_refuses_models_that_do_not_fit():
    with pytest.raises(ValueError, match='leave frozen_stages out of backbone'):
        ElasticSpace('bignas', backbone=dict(frozen_stages=1)).supernet(model_config(RETINANET))
    with pytest.raises(ValueError, match=r'has a linear layer of its own \(in_channels\), and so has the backbone'):
        small(backbone=HEAD).check_model(ConfigDict(CLASSIFIER, in_channels=512, num_classes=3))
    with pytest.raises(ValueError, match='but the detector reads 4 maps'):
        ElasticSpace('bignas', backbone=dict(out_indices=(1, 2, 4))).check_model(model_config(RETINANET))
    with pytest.raises(ValueError, match='no neck with in_channels'):
        SPACE.check_model(ConfigDict({**model_config(RETINANET), 'neck': None}))
