"""Parameters and multiply-adds of the published DetNAS networks, counted on shapes only.

Multiply-adds of convolutions and linear layers. The figures of the entries themselves are in tests/zoo.
"""

import pytest
import torch
from mmengine.config import Config

from nasdet import zoo
from nasdet.costs import count
from nasdet.models.backbones import DetNASNet
from nasdet.models.layers.choice_blocks import KERNELS, ChoiceBlock
from nasdet.models.meta import build_on_meta

IMAGE = (3, 224, 224)
BN = dict(type='BN')
BLOCKS = list(KERNELS)      # the order of the authors' numbers 0 to 3
SPOS = [[2, 1, 0, 1], [2, 0, 2, 0], [2, 0, 2, 3, 0, 0, 0, 0], [3, 2, 3, 3]]
MMRAZOR = [[1, 0, 0, 0], [3, 0, 3, 2], [2, 2, 3, 3, 0, 2, 1, 3], [2, 2, 2, 1]]


def small_space(numbers):
    """Return the genotype in the space of 300M with the blocks of these numbers."""
    stages = [dict(channels=channels, blocks=[BLOCKS[number] for number in stage])
              for channels, stage in zip((64, 160, 320, 640), numbers, strict=True)]
    return {**zoo.load('detnas_coco_fpn_300m').plain(), 'stages': stages}


def counted(genotype, shape=IMAGE, **options):
    with torch.device('meta'):
        return count(DetNASNet(genotype, **options), shape)


@pytest.mark.parametrize('numbers, backbone, classifier, gmac', [
    (SPOS, (1_877_072, 289_782_080), (3_560_504, 322_918_720), 6.210),
    (MMRAZOR, (1_666_720, 292_786_368), (3_350_152, 325_923_008), 6.274)])
def test_genotypes_of_other_projects_in_these_blocks(numbers, backbone, classifier, gmac):
    genotype = small_space(numbers)
    assert counted(genotype) == dict(zip(('params', 'macs'), backbone, strict=True))
    assert counted(genotype, head=True) == dict(zip(('params', 'macs'), classifier, strict=True))
    assert round(counted(genotype, (3, 800, 1344))['macs'] / 1e9, 3) == gmac


@pytest.mark.parametrize('name, gmac', [
    ('coco_fpn_300m', 6.173), ('coco_retinanet_300m', 6.240), ('voc_fpn_300m', 6.780), ('voc_retinanet_300m', 7.018),
    ('coco_fpn_300m_rerun', 6.427), ('coco_fpn_1.3g', 27.197), ('coco_fpn_3.8g', 84.382)])
def test_at_the_size_of_a_coco_image(name, gmac):
    assert round(counted(f'detnas_{name}', (3, 800, 1344))['macs'] / 1e9, 3) == gmac


def test_the_widest_network_with_the_head_that_the_authors_code_has():
    genotype = {**zoo.load('detnas_coco_fpn_3.8g').plain(), 'head_channels': 1728}
    assert counted(genotype, head=True) == dict(params=31_444_596, macs=4_085_874_080)


@pytest.mark.parametrize('shape, side, figures', [
    ((16, 64, 2), 112, [(3_024, 13_396_992), (3_792, 15_805_440), (4_944, 19_418_112), (4_640, 13_146_112)]),
    ((64, 64, 1), 56, [(2_528, 7_325_696), (3_040, 8_931_328), (3_808, 11_339_776), (4_320, 12_343_296)]),
    ((64, 160, 2), 56, [(18_960, 26_304_768), (21_264, 28_111_104), (24_720, 30_820_608), (27_104, 20_296_192)]),
    ((160, 160, 1), 28, [(14_000, 10_599_680), (15_280, 11_603_200), (17_200, 13_108_480), (22_320, 16_746_240)]),
    ((160, 320, 2), 28, [(81_280, 30_670_080), (86_400, 31_673_600), (94_080, 33_178_880), (110_720, 21_199_360)]),
    ((320, 320, 1), 14, [(53_600, 10_317_440), (56_160, 10_819_200), (60_000, 11_571_840), (83_040, 15_899_520)]),
    ((320, 640, 2), 14, [(316_160, 30_387_840), (326_400, 30_889_600), (341_760, 31_642_240), (426_240, 20_634_880)]),
    ((640, 640, 1), 7, [(209_600, 10_176_320), (214_720, 10_427_200), (222_400, 10_803_520), (319_680, 15_476_160)])])
def test_one_block(shape, side, figures):
    with torch.device('meta'):
        blocks = [ChoiceBlock(kind, *shape, 'halves', BN) for kind in BLOCKS]
    results = [count(block, (shape[0], side, side)) for block in blocks]
    assert [(result['params'], result['macs']) for result in results] == figures


def test_the_stem():
    with torch.device('meta'):
        stem = DetNASNet('detnas_coco_fpn_300m').stem
    assert count(stem, IMAGE) == dict(params=480, macs=5_419_008)


@pytest.mark.parametrize('stem, widths, depths, parameters', [
    (16, (64, 160, 320, 640), (4, 4, 8, 4), 6_808_256),
    (48, (96, 240, 480, 960), (8, 8, 16, 8), 28_642_008),
    (72, (172, 432, 864, 1728), (8, 8, 16, 8), 90_826_770)])
def test_supernets(stem, widths, depths, parameters):
    stages = [dict(channels=width, num_blocks=depth) for width, depth in zip(widths, depths, strict=True)]
    supernet = build_on_meta(dict(type='DetNASSupernet', stem_channels=stem, stages=stages))
    assert sum(parameter.numel() for parameter in supernet.parameters()) == parameters


@pytest.mark.parametrize('detector, name, channels, parameters', [
    ('retinanet_r50_fpn', 'coco_retinanet_300m', [64, 160, 320, 640], 12_627_732),
    ('faster-rcnn_r50_fpn', 'coco_fpn_300m', [64, 160, 320, 640], 19_414_768),
    ('faster-rcnn_r50_fpn', 'coco_fpn_1.3g', [96, 240, 480, 960], 26_131_856),
    ('faster-rcnn_r50_fpn', 'coco_fpn_3.8g', [172, 432, 864, 1728], 44_804_588)])
def test_mmdets_detectors_with_these_backbones(detector, name, channels, parameters):
    model = Config.fromstring(f"_base_ = ['mmdet::_base_/models/{detector}.py']", '.py').model
    model.backbone = dict(type='DetNASNet', genotype=f'detnas_{name}')
    model.neck.in_channels = channels
    assert sum(parameter.numel() for parameter in build_on_meta(model).parameters()) == parameters
