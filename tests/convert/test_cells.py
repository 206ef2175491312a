"""Cell networks of timm and of the DARTS authors, and ours with their weights."""

import pytest
import timm
import torch
from timm.models.nasnet import NASNetALarge
from torch import nn

from nasdet import zoo
from nasdet.convert import darts, timm_nasnetalarge, timm_pnasnet5large
from tests.convert.darts_reference import ReferenceNetwork


def bring_to_life(network, images):
    """Give batch norm its own scales, and the statistics of these images: as it begins, signals die out on the way."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    return network.eval()


@torch.no_grad()
def assert_equal(theirs, ours, convert, side):
    images = torch.randn(2, 3, side, side)
    bring_to_life(theirs, images)
    ours.load_state_dict(convert(theirs.state_dict()), strict=True)
    expected, logits = theirs(images[:1]), ours.eval()(images[:1])
    assert expected.std() > 0.1
    assert (logits - expected).abs().max() < 1e-4


def test_a_narrow_nasnet_of_timm():
    torch.manual_seed(0)
    theirs = NASNetALarge(num_classes=7, stem_size=6, num_features=24 * 8)
    ours = zoo.build('nasnet_a_6_4032', num_classes=7, width=8, stem_channels=6, padding='timm')
    assert_equal(theirs, ours, timm_nasnetalarge, 90)


def test_a_small_image_in_timms_pnasnet():
    torch.manual_seed(0)
    theirs, ours = timm.create_model('pnasnet5large', num_classes=7), zoo.build('pnasnet_5_large', 7, padding='timm')
    assert_equal(theirs, ours, timm_pnasnet5large, 48)


@pytest.mark.slow
@pytest.mark.parametrize('theirs, ours, convert', [
    ('nasnetalarge', 'nasnet_a_6_4032', timm_nasnetalarge), ('pnasnet5large', 'pnasnet_5_large', timm_pnasnet5large)])
def test_timms_networks_at_331_pixels(theirs, ours, convert):
    torch.manual_seed(0)
    assert_equal(timm.create_model(theirs), zoo.build(ours, padding='timm'), convert, 331)


@pytest.mark.parametrize('convert, name', [
    (timm_nasnetalarge, 'cell_18.conv_1x1.conv.weight'), (timm_nasnetalarge, 'cell_1.comb_iter_0_left.op.weight'),
    (timm_nasnetalarge, 'layer1.0.conv1.weight'), (timm_pnasnet5large, 'reduction_cell_0.conv_1x1.bn.weight'),
    (timm_pnasnet5large, 'cell_2.path_3.conv.weight'), (darts, 'alphas_normal'),
    (darts, 'cells.0._ops.1.op.4.weight'), (darts, 'cells.0.preprocess1.conv_3.weight')])
def test_weights_of_another_network_are_refused(convert, name):
    with pytest.raises(ValueError, match=f"'{name}' is not a weight of"):
        convert({name: torch.zeros(1)})


ALL_OPS = dict(
    normal=dict(blocks=[[1, 'conv17_71', 0, 'dil5'], [2, 'id', 1, 'sep5'], [0, 'avg3', 3, 'dil3']], concat=[2, 3, 4]),
    reduce=dict(blocks=[[0, 'conv17_71', 1, 'id'], [2, 'sep3', 1, 'dil3'], [0, 'max3', 3, 'id']], concat=[2, 3, 4]),
    inputs='darts', strided_id='relu_factorized', convs='plain', pool_norm=False)


@pytest.mark.parametrize('genotype', ['darts_v2_cifar', 'darts_v1_cifar', ALL_OPS])
@pytest.mark.parametrize('imagenet, prefix, side', [(False, '', 32), (True, 'module.', 224)])
def test_darts_checkpoints(genotype, imagenet, prefix, side):
    torch.manual_seed(0)
    value = zoo.load(genotype).plain() if isinstance(genotype, str) else genotype
    theirs = ReferenceNetwork(value, width=4, layers=6, classes=3, imagenet=imagenet).double()
    row = 'darts_v2_imagenet' if imagenet else 'darts_v2_cifar'
    head = {**zoo.entry(row)['network']['auxiliary_head'], 'cell': 4}
    ours = zoo.build(row, 3, genotype=value, width=4, num_cells=(2, 1, 1), auxiliary=True, auxiliary_head=head).double()
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    bring_to_life(theirs, images)
    state = {prefix + name: tensor for name, tensor in theirs.state_dict().items()
             if not name.endswith('num_batches_tracked')}      # the released files are older than it
    ours.load_state_dict(darts(state), strict=True)
    with torch.no_grad():
        logits, auxiliary = theirs(images)
        torch.testing.assert_close(ours.eval()(images), logits, rtol=0, atol=1e-9)
        ours.norm_eval, ours.drop_path = True, 0.0
        ours.set_drop_path_progress(0.0)
        torch.testing.assert_close(ours.train()(images)[1], auxiliary, rtol=0, atol=1e-9)
