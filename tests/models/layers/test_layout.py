"""The layout in which networks train: every layer hands it on, and gradients are those of the other layout."""

import importlib

import pytest
import torch
from mmdet.registry import MODELS

from nasdet.models.layers.layout import training_layout

MICRO = dict(type='CellNetwork', num_cells=(1, 1, 1), width=8, stem='cifar', out_indices=(1, 2, 3))
BACKBONES = {
    'cell_stack': [dict(MICRO, genotype=name) for name in (
        'nasnet_a_6_768_cifar', 'amoebanet_a_cifar', 'pnasnet_5_cifar', 'enas_micro_cifar', 'darts_v2_cifar')],
    'detnas': [dict(type='DetNASNet', genotype='detnas_coco_fpn_300m', out_indices=(0, 1, 2, 3))],
    'mbconv_net': [dict(type='MBConvNet', genotype='attentivenas_a0')]}
CASES = [(module, backbone) for module, backbones in BACKBONES.items() for backbone in backbones]


def maps_and_gradients(network, images):
    network.zero_grad()
    maps = network.train()(images)
    sum((torch.arange(x.numel(), dtype=x.dtype).view_as(x).sin() * x).sum() for x in maps).backward()
    return maps, {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize('module, backbone', CASES, ids=[backbone['genotype'] for _, backbone in CASES])
def test_a_network_trains_the_same_in_the_faster_layout(monkeypatch, module, backbone):
    torch.manual_seed(0)
    network = MODELS.build(backbone).double()
    images = torch.randn(2, 3, 72, 56, dtype=torch.float64)
    maps, gradients = maps_and_gradients(network, images)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)
    module = importlib.import_module(f'nasdet.models.backbones.{module}')
    monkeypatch.setattr(module, 'training_layout', lambda images, training: images)
    plain, expected = maps_and_gradients(network, images)
    assert gradients.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for actual, wanted in [*zip(maps, plain, strict=True), *((gradients[name], expected[name]) for name in expected)]:
        torch.testing.assert_close(actual.contiguous(), wanted.contiguous(), rtol=1e-7, atol=1e-10 * largest)


def test_evaluation_keeps_the_layout():
    images = torch.randn(2, 3, 8, 8)
    assert training_layout(images, False) is images
    assert torch.equal(training_layout(images, True), images)
