"""The DetNAS space: size, decisions, what it refuses, and what it makes of detectors."""

import copy
import warnings
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict

from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.spaces import ChoiceBlockSpace, detector
from nasdet.testing import check_space
from tests.spaces.helpers import every_genotype

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
MASK_RCNN = 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
YOLOX = 'yolox/yolox_s_8xb8-300e_coco.py'       # its neck reads three maps
BGR = dict(channels='bgr', mean=[0, 0, 0], std=[1, 1, 1])
SPACE = ChoiceBlockSpace(preset='300m')
SMALL = ChoiceBlockSpace([dict(channels=8, num_blocks=1), dict(channels=12, num_blocks=2)], stem_channels=4,
                         choices=('xception', 'shuffle3'))


def model_config(path):
    return Config.fromfile(str(CONFIGS / path)).model


def genotype(space=SPACE, **changes):
    value = space.sample(np.random.default_rng(0)).plain()
    return Genotype(space.name, {**value, **changes})


@pytest.mark.parametrize('preset, blocks, widths', [
    ('300m', 20, [16, 64, 160, 320, 640]), ('1.3g', 40, [48, 96, 240, 480, 960]),
    ('3.8g', 40, [72, 172, 432, 864, 1728])])
def test_sizes_of_the_paper(preset, blocks, widths):
    space = ChoiceBlockSpace(preset=preset)
    assert space.size() == 4 ** blocks
    value = space.sample(np.random.default_rng(0)).plain()
    assert [value['stem_channels'], *(stage['channels'] for stage in value['stages'])] == widths
    depths = [len(stage['blocks']) for stage in value['stages']]
    assert sum(depths) == blocks and [4 * depth for depth in depths] == [depths[0] * part for part in (4, 4, 8, 4)]


def test_any_stages_and_choices():
    assert SMALL.size() == sum(1 for _ in every_genotype(SMALL)) == 2 ** 3
    names = [choice.name for choice, _ in SMALL.walk(SMALL.draw(np.random.default_rng(0)))]
    assert names == ['stage1.block1', 'stage2.block1', 'stage2.block2']
    assert SMALL.decode((1, 0, 1)).plain() == dict(
        semantics='megvii', shuffle='halves', input='detector', stem_channels=4, head_channels=1024,
        stages=[dict(channels=8, blocks=['shuffle3']), dict(channels=12, blocks=['xception', 'shuffle3'])])


@pytest.mark.parametrize('settings', [dict(preset='300m'), dict(preset='1.3g', shuffle='even_odd', input=BGR),
                                      dict(preset='300m', choices=('xception',) + ('shuffle5',))])
def test_conforms(settings):
    check_space(ChoiceBlockSpace(**settings), np.random.default_rng(0), samples=10)


@pytest.mark.parametrize('path', [RETINANET, FASTER_RCNN, MASK_RCNN, FCOS])
def test_fits_the_detectors_of_mmdet(path):
    model = model_config(path)
    SPACE.check_model(model)
    check_space(SPACE, np.random.default_rng(0), model, samples=1)
    before = copy.deepcopy(model)
    applied = SPACE.apply(genotype(), model)
    assert applied.neck == {**before.neck, 'in_channels': [64, 160, 320, 640]}
    assert {**applied, 'neck': 0, 'backbone': 0} == {**before, 'neck': 0, 'backbone': 0}
    assert detector.backbone_strides(applied.backbone) == [4, 8, 16, 32]


def test_a_neck_that_reads_three_maps_gets_the_coarsest():
    model = model_config(YOLOX)
    SPACE.check_model(model)
    applied = SPACE.apply(genotype(), model)
    assert applied.neck.in_channels == [160, 320, 640] and applied.backbone.out_indices == (1, 2, 3)


def test_a_supernet_has_the_networks_of_the_space():
    space = ChoiceBlockSpace(preset='300m', backbone=dict(norm_cfg=dict(type='SyncBN')))
    model = model_config(RETINANET)
    supernet, value = space.supernet(model), genotype(space).plain()
    assert supernet.neck == space.apply(genotype(space), model).neck
    backbone = build_on_meta(supernet.backbone)
    backbone.set_path(value)
    blocks = [set(block) for stage in backbone.stages for block in stage]
    assert blocks == [{'shuffle3', 'shuffle5', 'shuffle7', 'xception'}] * 20
    assert {type(module).__name__ for module in backbone.modules() if 'Norm' in type(module).__name__} == {
        'SyncBatchNorm'}
    with pytest.raises(ValueError, match='leave frozen_stages out of backbone'):
        ChoiceBlockSpace(preset='300m', backbone=dict(frozen_stages=1)).supernet(model)


def test_a_classifier_reads_the_last_map_or_has_the_backbones_head():
    own = ConfigDict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), num_classes=3, in_channels=512)
    applied = SPACE.apply(genotype(), own)
    assert applied.in_channels == 640 and applied.backbone.out_indices == (3,)
    headed = ChoiceBlockSpace(preset='300m', backbone=dict(head=True, num_classes=5))
    network = MODELS.build(headed.supernet(ConfigDict(type='ImageClassifier', backbone=dict())).backbone)
    assert network.head.fc.out_features == 5


def test_what_the_network_reads_is_the_detectors_own_unless_the_space_says_it():
    model = model_config(RETINANET)
    assert SPACE.apply(genotype(), model).data_preprocessor == model.data_preprocessor
    space = ChoiceBlockSpace(preset='300m', input=BGR)
    for applied in (space.apply(genotype(space), model), space.supernet(model)):
        assert applied.data_preprocessor == {**model.data_preprocessor, 'mean': [0, 0, 0], 'std': [1, 1, 1],
                                             'bgr_to_rgb': False, 'rgb_to_bgr': False}
        MODELS.build(applied.data_preprocessor)
    assert genotype(space).plain()['input'] == BGR


@pytest.mark.parametrize('channels', ['bgr', 'rgb'])
def test_a_classifier_reads_rgb_and_a_detector_bgr(channels):
    """Whatever the model config said before, the network gets the channels in the order that the space says."""
    space = ChoiceBlockSpace(preset='300m', input=dict(BGR, channels=channels), backbone=dict(head=True))
    red_first = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1).expand(3, 32, 32)
    wanted = [2, 1, 0] if channels == 'bgr' else [0, 1, 2]
    for swapped in (False, True):
        own = ConfigDict(type='ImageClassifier', backbone={}, data_preprocessor=dict(rgb_to_bgr=swapped))
        preprocessor = space.apply(genotype(space), own).data_preprocessor
        built = MODELS.build(dict(type='mmengine.ImgDataPreprocessor', **preprocessor))
        assert built(dict(inputs=[red_first]))['inputs'][0, :, 0, 0].tolist() == wanted
        detector_config = model_config(RETINANET)
        detector_config.data_preprocessor.bgr_to_rgb = swapped
        built = MODELS.build(space.apply(genotype(space), detector_config).data_preprocessor)
        given = built(dict(inputs=[red_first.flip(0)], data_samples=[DetDataSample()]))['inputs']
        assert given[0, :, 0, 0].tolist() == wanted


@pytest.mark.parametrize('changes', [dict(mean=[1, 2, 3]), dict(std=[2, 2, 2]), dict(bgr_to_rgb=True)])
def test_warns_of_a_genotype_that_reads_another_input(changes):
    model = model_config(RETINANET)
    model.backbone = ConfigDict(type='DetNASNet', genotype='detnas_coco_retinanet_300m')
    model.neck.in_channels = [64, 160, 320, 640]
    model.data_preprocessor.update(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        detector.check(model)
        model.data_preprocessor.pop('mean')     # left out, nothing is subtracted
        detector.check(model)
    model.data_preprocessor.update(changes)
    with pytest.warns(UserWarning, match=r'reads BGR with mean \[0, 0, 0\] and std \[1, 1, 1\], but data_prep'):
        detector.check(model)


def test_graph_is_a_chain():
    graph = SPACE.graph(genotype())
    assert len(graph.nodes) == 21 and len(graph.edges) == 20
    assert [(a, b) for a, b, _ in graph.edges] == [
        (one['id'], other['id']) for one, other in zip(graph.nodes, graph.nodes[1:], strict=False)]


@pytest.mark.parametrize('settings, words', [
    (dict(), 'takes stages or a preset'), (dict(preset='600m'), "one of 300m, 1.3g, 3.8g, not '600m'"),
    (dict(preset='300m', choices=()), 'one or several different blocks'),
    (dict(preset='300m', stem_channels=99), 'has a stem of its own, so leave stem_channels out'),
    (dict(preset='300m', shuffle='none'), "shuffle is one of .* not 'none'"),
    (dict(preset='300m', choices=('shuffle9',)), "'shuffle9' is not one of the blocks"),
    (dict(preset='300m', choices=('xception', 'xception')), 'several different'),
    (dict(stages=[dict(channels=64)]), 'a dict with channels and num_blocks'), (dict(stages=[]), 'at least one stage'),
    (dict(stages=[dict(channels=64, num_blocks=0)]), 'at least 1'),
    (dict(stages=[dict(channels=64, num_blocks=1)] * 2), 'stage 2 has 64 channels, but needs more'),
    (dict(stages=[dict(channels=63, num_blocks=1)]), 'even number'),
    (dict(preset='300m', input=dict(mean=0)), 'channels, mean and std'),
    (dict(preset='300m', backbone=dict(shuffle='halves')), 'shuffle follows from the space')])
def test_refuses_wrong_arguments(settings, words):
    with pytest.raises(ValueError, match=words):
        ChoiceBlockSpace(**settings)


@pytest.mark.parametrize('changes, words', [
    (dict(shuffle='even_odd'), "shuffle='halves', the genotype 'even_odd'"),
    (dict(stem_channels=8), 'stem_channels=16, the genotype 8'), (dict(input=BGR), "input='detector', the genotype {"),
    (dict(semantics='mmrazor'), "semantics is 'megvii', not 'mmrazor'"), (dict(stages=[]), 'at least one stage'),
    (dict(stages=[dict(channels=64, blocks=['xception'] * 4)]), 'channels, the genotype of'),
    (dict(extra=1), 'has the keys')])
def test_refuses_genotypes_of_other_spaces(changes, words):
    with pytest.raises(ValueError, match=words):
        SPACE.check(genotype(**changes))


def test_refuses_blocks_and_depths_that_it_does_not_have():
    space = ChoiceBlockSpace(preset='300m', choices=('shuffle3', 'xception'))
    value = genotype(space).plain()
    value['stages'][1]['blocks'][2] = 'shuffle7'
    with pytest.raises(ValueError, match=r"stage2.block3 is 'shuffle7', but this space allows \['shuffle3', 'x"):
        space.check(Genotype(space.name, value))
    del value['stages'][1]['blocks'][2]
    with pytest.raises(ValueError, match=r'stages of \[4, 4, 8, 4\] blocks, the genotype of \[4, 3, 8, 4\]'):
        space.check(Genotype(space.name, value))


def test_refuses_detectors_that_cannot_read_its_maps():
    model = model_config(RETINANET)
    deep = ChoiceBlockSpace([dict(channels=2 ** i, num_blocks=1) for i in range(2, 7)], stem_channels=2)
    with pytest.raises(ValueError, match=r'strides \[16, 32, 64, 128, 256\], but bbox_head \(RetinaHead\) expects'):
        deep.check_model(model)
    with pytest.raises(ValueError, match='out_indices=.1, 2, 3. of a backbone with 4 stages, but the detector reads 4'):
        ChoiceBlockSpace(preset='300m', backbone=dict(out_indices=(1, 2, 3))).check_model(model)
    with pytest.raises(ValueError, match='no neck with in_channels'):
        SPACE.check_model(ConfigDict({**model, 'neck': None}))
    with pytest.raises(ValueError, match='cannot be built .*widen'):
        ChoiceBlockSpace(preset='300m', backbone=dict(widen=2)).check_model(model)
