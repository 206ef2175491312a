"""ENAS's macro space."""

import numpy as np
import pytest
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.spaces import ENASMacroSpace
from nasdet.testing import check_space
from nasdet.training import set_path

MODEL = ConfigDict(type='ImageClassifier', backbone=dict(type='ENASMacroNet', width=4, num_classes=3, dropout=0.1))


def test_it_is_a_space():
    check_space(ENASMacroSpace(5, ('conv3', 'max3', 'avg3')), np.random.default_rng(0), MODEL, samples=15)


def test_sizes_are_those_of_the_paper():
    assert ENASMacroSpace().size() == 6 ** 12 * 2 ** 66
    assert f'{ENASMacroSpace().size():.3e}' == '1.606e+29'
    assert ENASMacroSpace(3, ('conv3',)).size() == 2 ** 3


def test_the_published_network_lies_in_it():
    space, genotype = ENASMacroSpace(24), zoo.load('enas_macro_cifar')
    space.check(genotype, MODEL)
    assert space.decode(space.encode(genotype)) == genotype


def test_decisions_are_layer_by_layer_and_never_of_the_layer_before():
    space = ENASMacroSpace(4)
    names = [choice.name for choice, _ in space.walk(space.draw(np.random.default_rng(0)))]
    assert names == ['layer1.op', 'layer2.op', 'layer2.skip0', 'layer3.op', 'layer3.skip0', 'layer3.skip1',
                     'layer4.op', 'layer4.skip0', 'layer4.skip1', 'layer4.skip2']
    assert space.decode((0, 4, 1, 3, 0, 1, 2, 1, 0, 1)).value['layers'][3] == dict(op='conv5', skips=(0, 2))


def test_networks_take_over_what_the_config_says():
    space = ENASMacroSpace(3, ('sep3', 'max3'), backbone=dict(width=6))
    genotype = space.sample(np.random.default_rng(0))
    network = MODELS.build(space.apply(genotype, MODEL))
    supernet = MODELS.build(space.supernet(MODEL))
    set_path(supernet, space, genotype)
    for built in (network.backbone, supernet.backbone):
        assert built.stem.conv.out_channels == 6 and built.dropout.p == 0.1 and built.fc.out_features == 3
    assert supernet.backbone.stem.norm.running_mean is None
    trained = dict(MODEL.backbone, init_cfg=[dict(type='Pretrained', checkpoint='x.pth')])
    assert 'init_cfg' not in space.apply(genotype, dict(MODEL, backbone=trained)).backbone


def test_skips_are_edges_of_the_drawing():
    layers = [dict(op='conv3', skips=[]), dict(op='max3', skips=[0]), dict(op='sep5', skips=[1])]
    graph = ENASMacroSpace(3).graph(Genotype('ENASMacroSpace', dict(layers=layers)))
    assert {edge[:2] for edge in graph.edges} == {('layer0', 'layer1'), ('layer1', 'layer2'), ('layer2', 'layer3'),
                                                  ('layer0', 'layer2'), ('layer1', 'layer3')}
    assert [node['row'] for node in graph.nodes] == [0, 0, 1, 2]


@pytest.mark.parametrize('make, words', [
    (lambda: ENASMacroSpace(2), 'num_layers is at least 3, not 2'),
    (lambda: ENASMacroSpace(ops=('conv7',)), 'ops are different ones of conv3, sep3'),
    (lambda: ENASMacroSpace(backbone=dict(genotype={})), 'backbone: genotype follows from the space'),
    (lambda: ENASMacroSpace(12).encode(zoo.load('enas_macro_cifar')), '12 layers, the genotype 24'),
    (lambda: ENASMacroSpace(24, ('conv3',)).encode(zoo.load('enas_macro_cifar')), "layer2.op is 'sep5', but this"),
    (lambda: ENASMacroSpace().supernet(ConfigDict(type='ImageClassifier')), 'nothing says width of the network'),
    (lambda: ENASMacroSpace().check_model(ConfigDict(type='RetinaNet')), 'is a classifier with a head of its own')])
def test_refuses_what_does_not_fit(make, words):
    with pytest.raises(ValueError, match=words):
        make()
