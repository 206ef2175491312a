"""Every entry of the zoo: it loads, builds, runs and costs what it says."""

import json

import pytest
import torch
from mmengine.registry import DefaultScope

from nasdet import zoo
from nasdet.costs import count
from nasdet.genotype import Genotype
from nasdet.models.layers.merging import read_cells

R50_AT_640 = [(256, 160, 160), (512, 80, 80), (1024, 40, 40), (2048, 20, 20)]
NECKS = ['fpn', 'nas_fpn', 'nas_fpn_mmdet', 'no_fusion', 'pafpn']
DETNAS = [name for name in zoo.names() if zoo.entry(name)['space'] == 'ChoiceBlockSpace']


def test_names():
    assert set(NECKS) <= set(zoo.names()) and zoo.names() == sorted(zoo.names())


@pytest.mark.parametrize('name', zoo.names())
def test_entry_round_trips_and_says_where_it_is_from(name):
    genotype, entry = zoo.load(name), zoo.entry(name)
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert entry['source'] and entry['title'] and 'published' in entry
    assert json.loads(genotype.to_json())['value'] == entry['value']


@pytest.mark.parametrize('name', NECKS)
def test_exact_figures(name):
    exact = zoo.entry(name)['exact']
    with torch.device('meta'):
        network = zoo.build(name)
    assert count(network, R50_AT_640) == dict(macs=exact['macs'], params=exact['params'])


@pytest.mark.parametrize('name', NECKS)
def test_builds_and_runs(name):
    network = zoo.build(name, in_channels=[2, 4, 8, 16], out_channels=4, stack_times=2)
    outputs = network([torch.randn(2, c, s, s) for c, s in zip((2, 4, 8, 16), (64, 32, 16, 8), strict=True)])
    assert [tuple(out.shape) for out in outputs] == [(2, 4, s, s) for s in (32, 16, 8, 4, 2)]


def test_the_published_detnas_networks_are_there():
    assert {f'detnas_{name}' for name in (
        'coco_fpn_1.3g', 'coco_fpn_3.8g', 'coco_fpn_300m', 'coco_fpn_300m_rerun', 'coco_retinanet_300m',
        'voc_fpn_300m', 'voc_retinanet_300m')} <= set(DETNAS)


@pytest.mark.parametrize('name', DETNAS)
def test_exact_figures_of_a_backbone_and_of_its_classifier(name):
    exact = zoo.entry(name)['exact']
    with torch.device('meta'):
        backbone, classifier = zoo.build(name), zoo.build(name, head=True)
    assert count(backbone, tuple(exact['input'])) == dict(macs=exact['macs'], params=exact['params'])
    assert count(classifier, tuple(exact['input'])) == exact['with_head']


@pytest.mark.parametrize('name', DETNAS)
def test_published_size_of_a_classifier(name):
    entry = zoo.entry(name)
    for result in entry['published']['results']:
        if 'params_m' in result:
            assert round(entry['exact']['with_head']['params'] / 1e6, 1) == result['params_m']


def test_a_published_classifier_gives_logits():
    network = zoo.build('detnas_voc_retinanet_300m', head=True).eval()
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


def test_a_neck_takes_a_name():
    network = zoo.build('fpn', in_channels=[2, 4, 8, 16], out_channels=4, genotype='pafpn')
    assert network.cells == read_cells(zoo.load('pafpn').plain())


def test_it_builds_beside_a_runner_of_another_scope():
    DefaultScope.get_instance('a classification', scope_name='mmengine')
    zoo.build('fpn', in_channels=[2, 4, 8, 16], out_channels=4)
    assert DefaultScope.get_current_instance().scope_name == 'mmengine'


def test_both_dialects_hold_the_same_cells():
    paper, mmdet = zoo.load('nas_fpn').plain(), zoo.load('nas_fpn_mmdet').plain()
    assert paper['cells'] == mmdet['cells'] and paper['gp_mode'] != mmdet['gp_mode']


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="no 'nasfpn': did you mean 'nas_fpn'"):
        zoo.load('nasfpn')
