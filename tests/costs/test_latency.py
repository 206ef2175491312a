"""Latency: measured once a network, kept by device and precision, and really a limit."""

import json
import time

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from nasdet.costs import Latency
from nasdet.costs.latency import device_name
from nasdet.registry import COSTS, build
from nasdet.search.limits import over_limit
from nasdet.testing import check_cost
from tests.classifiers import TinySpace

MODEL = ConfigDict(type='ImageClassifier', backbone=dict(type='ResNet10'), num_classes=3, in_channels=512)
NAP = 0.02      # seconds


@pytest.fixture
def cost():
    return build(COSTS, dict(type='Latency', scope='backbone', input_shape=(3, 16, 16), runs=3, warm_up=1),
                 space=TinySpace(), model=MODEL)


@pytest.fixture
def genotype():
    return TinySpace().decode((0, 2))


def test_it_conforms(cost):
    check_cost(cost, [TinySpace().decode((0, 2)), TinySpace().decode((1, 1))])


class Sleepy(nn.Module):
    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, image):
        self.passes += 1
        time.sleep(NAP)


def test_it_measures_passes_after_a_warm_up(cost):
    network = Sleepy()
    seconds = cost._passes(network, torch.zeros(1))
    assert network.passes == 4 and len(seconds) == 3
    assert all(NAP <= value < 10 * NAP for value in seconds)


@pytest.mark.parametrize('scope', ['backbone', 'model'])
def test_quartiles_are_in_order_and_a_larger_image_takes_longer(scope, genotype):
    def measure(side):
        cost = Latency(TinySpace(), MODEL, scope=scope, input_shape=(3, side, side), runs=5)
        return cost.measure(TinySpace().apply(genotype, MODEL))

    small, large = measure(16), measure(512)
    for low, median, high in (small, large):
        assert 0 < low <= median <= high
    assert large[1] > small[1]      # 1,024 times as many pixels


def test_a_figure_is_kept_in_a_file_by_network_device_and_precision(tmp_path, genotype):
    path = tmp_path / 'latency.json'
    settings = dict(scope='backbone', input_shape=(3, 16, 16), runs=1, cache=str(path))
    first = Latency(TinySpace(), MODEL, **settings)(genotype)
    (key, quartiles), = json.loads(path.read_text()).items()
    assert quartiles[1] == first and device_name(torch.device('cpu')) in key
    path.write_text(json.dumps({key: [1e6, 2e6, 3e6]}))
    assert Latency(TinySpace(), MODEL, **settings)(genotype) == 2e6
    assert Latency(TinySpace(), MODEL, precision='bfloat16', **settings)(genotype) < 2e6
    assert len(json.loads(path.read_text())) == 2


def test_another_network_of_the_same_genotype_has_another_figure(tmp_path, genotype):
    """The space's genotype does not say how many classes the network tells apart."""
    settings = dict(scope='model', input_shape=(3, 16, 16), runs=1, cache=str(tmp_path / 'latency.json'))
    for classes in (3, 4):
        Latency(TinySpace(), ConfigDict(MODEL, num_classes=classes), **settings)(genotype)
    assert len(json.loads((tmp_path / 'latency.json').read_text())) == 2


def test_it_refuses_what_is_over_its_limit(genotype):
    cost = Latency(TinySpace(), MODEL, scope='backbone', input_shape=(3, 16, 16), runs=1, limit=1e-9)
    assert 'over its limit 1e-09' in over_limit([cost], {cost.name: cost(genotype)})


@pytest.mark.parametrize('arguments, message', [
    (dict(device='warp'), "cannot measure on the device 'warp'"),
    (dict(precision='int8'), 'precision is one of float32'),
    (dict(runs=0), 'at least one run'),
    (dict(scope='tail'), 'the scope of a cost'),
])
def test_what_cannot_be_measured_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Latency(TinySpace(), MODEL, **arguments)
