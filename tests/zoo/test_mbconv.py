"""Parameters and multiply-adds of EfficientNet-B0 and of the AttentiveNAS family, counted on shapes only.

Multiply-adds of convolutions and linear layers at the genotype's own resolution.
"""

import pytest
import torch

from nasdet import zoo
from nasdet.costs import count

ENTRIES = [name for name in zoo.names() if zoo.entry(name)['space'] == 'ElasticSpace']


def build(name, **options):
    with torch.device('meta'):
        return zoo.build(name, **options)


def test_the_published_networks_are_there():
    assert ENTRIES == [*(f'attentivenas_a{number}' for number in range(7)), 'efficientnet_b0']


@pytest.mark.parametrize('name', ENTRIES)
def test_exact_figures_of_a_classifier_and_of_its_backbone(name):
    exact = zoo.entry(name)['exact']
    assert exact['input'] == [3, exact['input'][1], exact['input'][1]]
    assert exact['input'][1] == zoo.load(name).value['resolution']
    assert count(build(name), tuple(exact['input'])) == dict(params=exact['params'], macs=exact['macs'])
    assert count(build(name, head=False), tuple(exact['input'])) == exact['without_head']


@pytest.mark.parametrize('name, params, mmacs, backbone_params, backbone_mmacs', [
    ('attentivenas_a0', 8_954_184, 203.39, 4_556_224, 189.2), ('attentivenas_a1', 9_452_872, 279.24, 4_614_080, 261.0),
    ('attentivenas_a2', 11_149_824, 316.73, 6_194_584, 297.3),
    ('attentivenas_a3', 12_784_928, 356.52, 7_829_688, 337.1),
    ('attentivenas_a4', 11_809_640, 443.53, 6_970_848, 421.1),
    ('attentivenas_a5', 12_597_464, 490.52, 8_199_504, 468.5),
    ('attentivenas_a6', 15_154_792, 709.01, 10_199_552, 680.0),
    ('efficientnet_b0', 5_288_548, 385.81, 3_595_388, 364.5)])
def test_figures_known_from_elsewhere(name, params, mmacs, backbone_params, backbone_mmacs):
    exact = zoo.entry(name)['exact']
    assert (exact['params'], round(exact['macs'] / 1e6, 2)) == (params, mmacs)
    without = exact['without_head']
    assert (without['params'], round(without['macs'] / 1e6, 1)) == (backbone_params, backbone_mmacs)


@pytest.mark.parametrize('name', ENTRIES[:-1])
def test_the_counts_are_those_that_the_authors_print(name):
    printed = zoo.entry(name)['published']['results'][0]['mmacs']
    assert round(zoo.entry(name)['exact']['macs'] / 1e6) == printed


def test_a_classifier_counts_at_its_own_resolution():
    """It resizes what it is given."""
    assert count(build('attentivenas_a0'), (3, 224, 256))['macs'] == zoo.entry('attentivenas_a0')['exact']['macs']


def test_a_published_classifier_gives_logits():
    network = zoo.build('attentivenas_a0', num_classes=7).eval()
    network.resolution = 64
    assert network(torch.randn(1, 3, 48, 48)).shape == (1, 7)
