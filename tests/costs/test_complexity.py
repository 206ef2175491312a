"""Multiply-adds and parameters against hand counts and the known figures of mmdet's detectors."""

from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from nasdet import zoo
from nasdet.costs import Macs, Params, count
from nasdet.models.meta import build_on_meta
from nasdet.registry import COSTS, build
from nasdet.spaces.merging_cells import MergingCellSpace

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'


def detector(path):
    return Config.fromfile(str(CONFIGS / path)).model


@pytest.fixture(scope='module')
def nas_fpn():
    return detector('nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py')


def test_hand_counts():
    assert count(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), (4, 10, 6)) == dict(macs=8 * 2 * 9 * 5 * 3,
                                                                                       params=8 * 2 * 9 + 8)
    assert count(nn.ConvTranspose2d(4, 8, 2, stride=2), (4, 5, 3))['macs'] == 4 * 5 * 3 * 8 * 4
    assert count(nn.Sequential(nn.Flatten(), nn.Linear(60, 7)), (4, 5, 3)) == dict(macs=420, params=427)
    assert count(nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3)), (3, 9))['macs'] == 81


def test_a_shared_convolution_counts_each_time_it_runs_and_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = self.same = nn.Conv2d(2, 2, 1)

        def forward(self, maps):
            return [self.conv(maps[0]), self.same(maps[1])]

    assert count(Twice(), [(2, 4, 4), (2, 2, 2)]) == dict(macs=4 * 16 + 4 * 4, params=6)


def test_functional_convolutions_count_the_weights_that_they_use():
    class Sliced(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return nn.functional.conv2d(x, weight=self.conv.weight[:4, :2], padding=1)

    assert count(Sliced(), (2, 5, 5))['macs'] == 4 * 2 * 9 * 25


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Dropout())
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    ids = [id(parameter) for parameter in module.parameters()]
    count(module, (2, 1, 1))
    assert [child.training for child in module] == [True, False, True]
    assert [id(parameter) for parameter in module.parameters()] == ids
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(RuntimeError):
        count(module, (3, 1, 1))
    assert [child.training for child in module] == [True, False, True]


@pytest.mark.parametrize('stacks, params, macs', [(7, 59_979_828, 138.350), (5, 51_711_540, 124.519),
                                                  (3, 43_443_252, 110.687), (1, 35_174_964, 96.856)])
def test_known_figures_of_nas_fpn(nas_fpn, stacks, params, macs):
    model = Config(dict(model=nas_fpn)).copy().model
    model.neck.stack_times = stacks
    counted = count(build_on_meta(model), (3, 640, 640))
    assert counted['params'] == params
    assert round(counted['macs'] / 1e9, 3) == macs


def test_known_figures_of_retinanet():
    counted = count(build_on_meta(detector('retinanet/retinanet_r50_fpn_1x_coco.py')), (3, 800, 1344))
    assert counted['params'] == 37_968_692 and round(counted['macs'] / 1e9, 3) == 250.488


@pytest.mark.parametrize('scope, params, macs', [('neck', 29_990_144, 49.91), ('backbone', 23_508_032, 33.36),
                                                 ('model', 59_979_828, 138.35)])
def test_costs_count_the_applied_genotype(nas_fpn, scope, params, macs):
    space = MergingCellSpace(gp_mode='mmdet', top='conv_pool', neck=dict(stack_times=7))
    genotype = zoo.load('nas_fpn_mmdet')
    cost = build(COSTS, dict(type='Macs', scope=scope, input_shape=(3, 640, 640), limit=50e9), space=space,
                 model=nas_fpn)
    assert (cost.name, cost.limit, cost.unit) == (f'Macs({scope})', 50e9, 'MACs')
    assert round(cost(genotype) / 1e9, 2) == macs
    assert build(COSTS, dict(type='Params', scope=scope), space=space, model=nas_fpn)(genotype) == params


def test_the_space_has_ten_costs(nas_fpn):
    """Only the levels of the two intermediate cells matter: 5.058 to 6.916 GMAC a stack in convolutions."""
    space = MergingCellSpace(neck=dict(stack_times=1))
    rng = np.random.default_rng(0)
    bare = 1_468_006_400        # the projections of the backbone's maps: the zoo's 'no_fusion'
    cost = Macs(space, nas_fpn, scope='neck')
    found = {cost(space.sample(rng)) - bare for _ in range(30)}
    assert len(found) <= 10
    assert 5.058 <= round(min(found) / 1e9, 3) and round(max(found) / 1e9, 3) <= 6.916


def test_a_network_that_reads_values_while_it_is_built():
    model = dict(type='SwinTransformer', embed_dims=12, depths=(1, 1), num_heads=(1, 2), strides=(4, 2),
                 out_indices=(0, 1))
    assert count(build_on_meta(model), (3, 64, 64))['macs'] > 0


def test_refuses_what_it_cannot_count(nas_fpn):
    space = MergingCellSpace()
    with pytest.raises(ValueError, match="one of .*not 'head'"):
        Macs(space, nas_fpn, scope='head')
    with pytest.raises(ValueError, match='has no model'):
        Params(space)
    two_stage = detector('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    with pytest.raises(ValueError, match="count scope='neck'"):
        Macs(space, two_stage, scope='model')
    levels = MergingCellSpace(levels=(2, 3, 4, 5, 6))
    assert Macs(levels, two_stage, scope='neck')(levels.sample(np.random.default_rng(0))) > 0
