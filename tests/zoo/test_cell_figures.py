"""Parameters and multiply-adds of the published cell networks and of ENAS's macro one, counted on shapes only.

Multiply-adds of convolutions and linear layers at the published image size; no auxiliary head.
"""

import re

import pytest
import torch
from torch import nn

from nasdet import zoo
from nasdet.costs import count

ENTRIES = [name for name in zoo.names() if zoo.entry(name)['network']['type'] in ('CellNetwork', 'ENASMacroNet')]
# What sources print and their own code does not give.
NOT_REPRODUCIBLE = {('amoebanet_c_mobile', 'macs'), ('darts_v1_cifar', 'params'), ('darts_v2_imagenet', 'macs'),
                    ('enas_macro_cifar', 'params')}
UNITS = dict(M=1e6, B=1e9)


def build(name, **options):
    with torch.device('meta'):
        return zoo.build(name, **options)


@pytest.mark.parametrize('name', ENTRIES)
def test_exact_figures(name):
    exact = zoo.entry(name)['exact']
    assert count(build(name), exact['input']) == dict(macs=exact['macs'], params=exact['params'])


def agrees(printed, exact):
    """Return whether a count is what is printed, to its last digit or within 0.3 %."""
    number, unit = float(printed[:-1]), UNITS[printed[-1]]
    digits = len(re.search(r'\.?(\d*)$', printed[:-1]).group(1)) if '.' in printed else 0
    return round(exact / unit, digits) == number or abs(exact / unit - number) < 0.003 * number


@pytest.mark.parametrize('name', ENTRIES)
def test_the_counts_are_the_published_ones(name):
    published, exact = zoo.entry(name)['published'], zoo.entry(name)['exact']
    for figure in ('params', 'macs'):
        if figure in published:
            assert agrees(published[figure], exact[figure]) == ((name, figure) not in NOT_REPRODUCIBLE), figure
            assert (name, figure) not in NOT_REPRODUCIBLE or published['note']


def other(name, cells, width, side, params, macs=None, **options):
    """Return a row of the specifications with another skeleton than the entry's."""
    counts = (cells,) * 3 if isinstance(cells, int) else cells
    return pytest.param(name, dict(num_cells=counts, width=width, **options), side, params, macs,
                        id=f'{name}-{cells}-{width}', marks=[pytest.mark.slow] * (side > 224))


@pytest.mark.parametrize('name, options, side, params, macs', [
    other('nasnet_a_6_768_cifar', 7, 96, 32, 32_590_954, 5_151_250_944),
    other('nasnet_a_6_768_cifar', 2, 24, 32, 757_906, 136_390_272),
    other('nasnet_a_4_1056', 5, 64, 299, 12_247_544, 2_552_240_432),
    other('nasnet_a_4_1056', 7, 80, 299, 24_595_884, 5_226_678_524),
    other('amoebanet_b_cifar', 6, 80, 32, 13_716_250, 2_195_468_800),
    other('amoebanet_b_cifar', 6, 128, 32, 34_874_506, 5_580_279_808),
    other('amoebanet_a_cifar', 3, 24, 32, 843_322, 139_349_760),
    other('amoebanet_a_large', 6, 204, 331, 99_625_282, 26_623_181_694),
    other('amoebanet_a_large', 6, 448, 299, 468_151_184, 103_887_693_968),
    other('amoebanet_b_mobile', 6, 190, 331, 79_008_676, 20_934_489_887),
    other('amoebanet_b_mobile', 6, 196, 331, 83_960_973, 22_272_815_179),
    other('amoebanet_c_mobile', 6, 228, 331, 155_272_667, 41_129_488_875),
    other('pnasnet_5_cifar', (2, 1, 1), 24, 32, 559_090, 112_046_784),
    other('enas_micro_cifar', 5, 36, 32, 3_894_372, 620_907_552),
    other('nasnet_a_4_1056', 4, 44, 224, 5_291_035, num_classes=1001),
    other('nasnet_a_6_4032', 6, 168, 331, 88_757_183, num_classes=1001),
    other('pnasnet_5_large', (4, 3, 3), 216, 331, 86_061_989, num_classes=1001)])
def test_other_skeletons(name, options, side, params, macs):
    network = build(name, **options)
    if macs is None:
        assert parameters(network) == params
    else:
        assert count(network, (3, side, side)) == dict(params=params, macs=macs)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def large(*row):
    """Return a row that takes seconds."""
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.mark.parametrize('name, params', [
    ('nasnet_a_4_1056', 2_411_240), large('nasnet_a_6_4032', 4_567_784), ('nasnet_a_6_768_cifar', 1_631_498),
    ('pnasnet_5_mobile', 2_412_776), large('pnasnet_5_large', 4_586_216), ('pnasnet_5_cifar', 1_643_786),
    ('amoebanet_a_mobile', 2_394_856), large('amoebanet_a_large', 4_504_296), ('enas_micro_cifar', 494_848),
    ('darts_v2_cifar', 476_426), ('darts_v2_imagenet', 1_260_776)])
def test_auxiliary_heads(name, params):
    network = build(name, auxiliary=True)
    assert parameters(network.auxiliary_head) == params
    side = zoo.entry(name)['exact']['input'][-1]
    network.train()
    with torch.no_grad():
        logits, auxiliary = network(torch.empty(2, 3, side, side, device='meta'))
    assert logits.shape == auxiliary.shape


@pytest.mark.parametrize('name, params', [('nasnet_a_4_1056', 5_326_716), large('nasnet_a_6_4032', 88_949_818),
                                          large('pnasnet_5_large', 86_234_656)])
def test_with_the_moving_statistics_of_batch_norm(name, params):
    network = build(name)
    statistics = sum(2 * module.num_features for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert parameters(network) + statistics == params


def test_entries_of_one_architecture_hold_one_genotype():
    groups = (('nasnet_a_4_1056', 'nasnet_a_6_4032', 'nasnet_a_6_768_cifar'),
              ('pnasnet_5_cifar', 'pnasnet_5_large', 'pnasnet_5_mobile'),
              ('amoebanet_a_cifar', 'amoebanet_a_cifar_f32', 'amoebanet_a_large', 'amoebanet_a_mobile'),
              ('amoebanet_b_cifar', 'amoebanet_b_mobile'), ('darts_v1_cifar', 'darts_v1_imagenet'),
              ('darts_v2_cifar', 'darts_v2_imagenet'))
    for group in groups:
        assert len({zoo.load(name) for name in group}) == 1
