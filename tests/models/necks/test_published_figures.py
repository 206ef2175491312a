"""Parameters and multiply-adds of published detectors with this neck, counted on shapes only.

Multiply-adds of convolutions and linear layers, 9 anchors, all parameters including frozen ones.
"""

from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config

from nasdet import zoo
from nasdet.costs import count
from nasdet.models.layers.pyramid import merging_conv
from nasdet.models.meta import build_on_meta

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
NAS_FPN = 'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'


def shipped(path):
    return Config.fromfile(str(CONFIGS / path)).model


def with_our_neck(value, stacks, width, classes=80):
    """Return mmdet's NAS-FPN detector with its neck, and the width of its head, replaced."""
    model = shipped(NAS_FPN)
    model.neck = dict(type='MergingCellFPN', genotype=value, in_channels=[256, 512, 1024, 2048], out_channels=width,
                      num_outs=5, start_level=1, stack_times=stacks, norm_cfg=dict(type='BN'))
    model.bbox_head.update(num_classes=classes, in_channels=width, feat_channels=width)
    return model


def r50_maps(side):
    return [(channels, side // stride, side // stride) for channels, stride in zip(
        (256, 512, 1024, 2048), (4, 8, 16, 32), strict=True)]


@pytest.mark.parametrize('stacks, width, side, parameters, gmac, neck_gmac', [
    (7, 256, 640, 59_979_828, 138.350, 49.91),
    (5, 256, 640, 51_711_540, 124.519, 36.08),
    (3, 256, 640, 43_443_252, 110.687, 22.25),
    (1, 256, 640, 35_174_964, 96.856, 8.42),
    (7, 256, 1024, 59_979_828, 354.176, 127.77),
    (7, 384, 1280, 103_528_628, 1029.377, 444.79)])
def test_retinanet_with_mmdets_nas_fpn(stacks, width, side, parameters, gmac, neck_gmac):
    value = zoo.load('nas_fpn_mmdet').plain()
    built = build_on_meta(with_our_neck(value, stacks, width))
    counted = count(built, (3, side, side))
    assert counted['params'] == parameters
    assert round(counted['macs'] / 1e9, 3) == gmac
    assert round(count(built.neck, r50_maps(side))['macs'] / 1e9, 2) == neck_gmac


@pytest.mark.parametrize('path, shape, parameters, gmac', [
    ('nas_fpn/retinanet_r50_fpn_crop640-50e_coco.py', (3, 640, 640), 37_988_404, 95.349),
    ('retinanet/retinanet_r50_fpn_1x_coco.py', (3, 800, 1344), 37_968_692, 250.488)])
def test_mmdets_baselines(path, shape, parameters, gmac):
    counted = count(build_on_meta(shipped(path)), shape)
    assert counted['params'] == parameters
    assert round(counted['macs'] / 1e9, 3) == gmac


@pytest.mark.parametrize('width, side, millions, gflops', [
    (256, 640, 60.34, 281.36), (256, 1024, 60.34, 720.29), (256, 1280, 60.34, 1125.45), (384, 1280, 103.97, 2086.53)])
def test_the_papers_rows(width, side, millions, gflops):
    """FLOPs as the paper prints them, twice the multiply-adds: with an extra projection of C4, and 91 classes."""
    value = {**zoo.load('nas_fpn').plain(), 'extra_projection': True}
    counted = count(build_on_meta(with_our_neck(value, 7, width, classes=91)), (3, side, side))
    assert round(counted['params'] / 1e6, 2) == millions
    assert round(2 * counted['macs'] / 1e9, 2) == gflops


@pytest.mark.parametrize('level, macs', [
    (3, 3_774_873_600), (4, 943_718_400), (5, 235_929_600), (6, 58_982_400), (7, 14_745_600)])
def test_one_cell_at_640_pixels(level, macs):
    side = 640 // 2 ** level
    dense, separable = (count(merging_conv(256, True, None, kind), (256, side, side))['macs']
                        for kind in ('dense', 'separable'))
    assert dense == macs
    assert separable * (9 * 256) == macs * (9 + 256)
