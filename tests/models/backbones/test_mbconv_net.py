"""The network of MBConv blocks: equal to torchvision's EfficientNet-B0, and built as the spaces of BigNAS say."""

import ast
import copy
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmdet.registry import MODELS
from torch import nn

from nasdet import zoo
from nasdet.bundle import write_bundle
from nasdet.models.backbones import MBConvNet
from nasdet.models.layers.layout import training_layout
from nasdet.models.layers.mbconv import SEMANTICS, BlockShape, MBConv, SqueezeExcitation
from tests.models.backbones.mbconv_helpers import GENES, INDICES, mbconv_genotype

BN = dict(type='BN')
IMAGES = torch.rand(2, 3, 50, 64, generator=torch.Generator().manual_seed(0))


def drawn(network):
    """Give every parameter and statistic a random value, so that no part of a network hides."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            low, high = (0.5, 2.0) if name.endswith(('running_var', 'bn.weight')) else (-0.3, 0.3)
            tensor.uniform_(low, high, generator=generator)
    return network


@pytest.mark.parametrize('training', [False, True])
def test_efficientnet_b0_is_torchvisions(training):
    theirs = drawn(torchvision.models.efficientnet_b0(dropout=0.0, stochastic_depth_prob=0.0)).double()
    ours = zoo.build('efficientnet_b0', head=True, dropout=0.0).double()
    ours.resolution = None
    tensors = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({name: tensor for (name, _), tensor in tensors})
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images = training_layout(images, training)      # another layout rounds differently, and batch norm enlarges it
    outputs = [network.train(training)(images) for network in (ours, theirs)]
    assert outputs[1].std() > 0.01
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=0)


def test_attentivenas_block_on_a_map_of_odd_size():
    block = drawn(MBConv(BlockShape(8, 48, 16, 12, 5, 2), 'attentivenas', BN)).eval()
    x = torch.randn(2, 8, 7, 10)
    out = F.silu(block.expand.bn(block.expand.conv(x)))
    out = F.silu(block.depthwise.bn(F.conv2d(out, block.depthwise.conv.weight, stride=2, padding=2, groups=48)))
    gate = F.conv2d(F.adaptive_avg_pool2d(out, 1), block.se.reduce.weight, block.se.reduce.bias).relu()
    out = out * F.relu6(F.conv2d(gate, block.se.expand.weight, block.se.expand.bias) + 3) / 6
    out = block.project.bn(block.project.conv(out))
    framed = F.pad(x, (0, 0, 1, 1))     # zeros count in the average, as in the authors' code; only where a side is odd
    passed = F.conv2d(framed.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5)), block.shortcut.weight)
    assert passed.shape == out.shape == (2, 12, 4, 5)
    torch.testing.assert_close(block(x), passed + out)


@pytest.mark.parametrize('semantics, shape, parts', [
    ('efficientnet', (8, 8, 2, 8, 3, 1), {'depthwise', 'se', 'project'}),
    ('efficientnet', (8, 48, 0, 12, 3, 2), {'expand', 'depthwise', 'project'}),
    ('attentivenas', (8, 32, 0, 8, 3, 2), {'expand', 'depthwise', 'project'}),
    ('attentivenas', (8, 32, 8, 12, 3, 1), {'expand', 'depthwise', 'se', 'project', 'shortcut'})])
def test_a_block_has_the_parts_that_it_needs(semantics, shape, parts):
    assert {name for name, _ in MBConv(BlockShape(*shape), semantics, BN).named_children()} == parts


def test_squeeze_and_excitation_of_efficientnet_is_torchvisions():
    ours, theirs = SqueezeExcitation(12, 5, 'efficientnet'), torchvision.ops.SqueezeExcitation(12, 5, nn.SiLU)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 12, 4, 3)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize('semantics', SEMANTICS)
def test_maps_end_each_stride_from_4_on(semantics):
    network = MODELS.build(dict(type='MBConvNet', genotype=mbconv_genotype(semantics)))
    assert network.out_indices == (1, 3) == INDICES
    assert [tuple(out.shape) for out in network(IMAGES)] == [(2, 16, 13, 16), (2, 24, 7, 8)]
    assert zoo.build('attentivenas_a6', head=False).out_indices == (1, 2, 4, 6)     # C2 to C5
    first = MBConvNet(mbconv_genotype(semantics), out_indices=(0, 1))
    assert len(first.stages) == 2 and [out.shape[1] for out in first(IMAGES)] == [8, 16]


@pytest.mark.parametrize('semantics', SEMANTICS)
def test_a_classifier_resizes_and_a_backbone_does_not(semantics):
    genotype = mbconv_genotype(semantics, resolution=32)
    network = drawn(MBConvNet(genotype, head=True, num_classes=5)).eval()
    resized = F.interpolate(IMAGES, size=(32, 32), mode='bicubic', align_corners=False)
    assert network(IMAGES).shape == (2, 5)
    assert torch.equal(network(IMAGES), network(resized))
    backbone = MBConvNet(genotype)
    assert [out.shape[-1] for out in backbone(IMAGES)] == [16, 8]
    assert not backbone.load_state_dict(network.state_dict(), strict=False).missing_keys


def test_the_head_of_attentivenas_mixes_after_the_pooling():
    network = drawn(MBConvNet(mbconv_genotype(), head=True, num_classes=5)).eval()
    head, plain = network.head, MBConvNet(mbconv_genotype()).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    pooled = F.silu(head.conv.bn(head.conv.conv(plain(IMAGES)[-1]))).flatten(2).mean(2)
    assert pooled.shape == (2, 6 * 24) and head.mix.bias is None
    mixed = F.silu(pooled @ head.mix.weight[:, :, 0, 0].T)
    torch.testing.assert_close(network(IMAGES), mixed @ head.fc.weight.T + head.fc.bias)
    assert not torch.equal(network.train()(IMAGES), network(IMAGES))     # dropout


@pytest.mark.parametrize('semantics, probabilities', [
    ('efficientnet', [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8]),
    ('attentivenas', [0, 0, 0, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8])])
def test_paths_are_dropped_more_often_the_deeper(semantics, probabilities):
    network = MBConvNet(mbconv_genotype(semantics), drop_path=0.4)
    blocks = [block for stage in network.stages for block in stage]
    assert [block.drop_prob for block in blocks] == pytest.approx([0.4 * p for p in probabilities])
    block, x = blocks[-1], torch.randn(1000, 24, 1, 1)
    block.drop_prob = 0.25
    dropped = (block(x) == x).all(dim=1).float().mean().item()
    assert dropped == pytest.approx(0.25, abs=0.05)
    assert not (block.eval()(x) == x).all(dim=1).any()


@pytest.mark.parametrize('frozen', [-1, 0, 2, 4])
def test_frozen_stages_keep_parameters_and_statistics_in_training(frozen):
    network = MBConvNet(mbconv_genotype(), frozen_stages=frozen)
    parts = [network.stem, *network.stages]
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    network.eval()
    network.train()(IMAGES)
    unchanged = [all(torch.equal(value, part.state_dict()[name]) for name, value in state.items())
                 for part, state in zip(parts, before, strict=True)]
    assert unchanged == [True] * (frozen + 1) + [False] * (4 - frozen)
    assert [any(parameter.requires_grad for parameter in part.parameters()) for part in parts] == [
        not still for still in unchanged]


def test_norm_eval_keeps_statistics_but_trains_the_affine_part():
    network = MBConvNet(mbconv_genotype(), norm_eval=True).train()
    before = copy.deepcopy(network.state_dict())
    network(IMAGES)[-1].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.stem.bn.weight.grad.abs().sum() > 0 and network.stages.training


@pytest.mark.parametrize('semantics, zero', [
    ('efficientnet', [[True], [False, True], [False, True, True], [False, True]]),
    ('attentivenas', [[True], [True, True], [True, True, True], [True, True]])])
def test_blocks_with_a_shortcut_start_as_the_shortcut(semantics, zero):
    torch.manual_seed(0)
    network = MBConvNet(mbconv_genotype(semantics), head=True)
    network.init_weights()
    weights = [[block.project.bn.weight.unique().tolist() for block in stage] for stage in network.stages]
    assert weights == [[[0] if started else [1] for started in stage] for stage in zero]
    others = [module for name, module in network.named_modules()
              if isinstance(module, nn.BatchNorm2d) and not name.endswith('project.bn')]
    assert all(module.weight.unique().tolist() == [1] and module.bias.abs().max() == 0 for module in others)
    plain = MBConvNet(mbconv_genotype(semantics), zero_init_residual=False)
    plain.init_weights()
    assert all(block.project.bn.weight.min() == 1 for stage in plain.stages for block in stage)


def test_initial_convolutions_keep_the_variance():
    torch.manual_seed(0)
    network = zoo.build('attentivenas_a0')
    network.init_weights()
    block = network.stages[5][1]
    for layer, outputs in ((block.expand.conv, 192 * 6), (block.depthwise.conv, 9), (block.project.conv, 192)):
        assert layer.weight.std().item() == pytest.approx((2 / outputs) ** 0.5, rel=0.05)
    assert network.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert block.se.reduce.bias.abs().max() == network.head.fc.bias.abs().max() == 0


def stages_with(**changes):
    stages = mbconv_genotype()['stages']
    stages[1] = {**stages[1], **changes}
    return dict(stages=stages)


@pytest.mark.parametrize('changes, words', [
    (dict(semantics='megvii'), "semantics is one of efficientnet, attentivenas, not 'megvii'"),
    (dict(resolution=0), 'resolution is a whole number, at least 1, not 0'),
    (dict(stem_channels=None), 'stem_channels is a whole number, at least 1, not None'),
    (dict(head_channels=True), 'head_channels is a whole number, at least 1, not True'),
    (dict(stages=[]), 'stages is a list of one or more stages'),
    (dict(stages=dict(channels=8)), 'stages is a list of one or more stages, not channels'),
    (dict(stages=[dict(channels=8)]), 'stage 1 has the keys channels, depth, kernel, expansion, stride, se, not chan'),
    (stages_with(kernel=4), 'the kernel of stage 2 is odd, so that it has a middle, not 4'),
    (stages_with(depth=0), 'depth of stage 2 is a whole number, at least 1, not 0'),
    (stages_with(expansion=1.5), 'expansion of stage 2 is a whole number, at least 1, not 1.5'),
    (stages_with(stride=4), 'the stride of stage 2 is 1 or 2, not 4'),
    (stages_with(se=1), 'se of stage 2 is true or false, not 1'),
    (dict(shuffle='halves'), 'an MBConv genotype has the keys semantics, resolution, stem_channels, stages, head_')])
def test_a_wrong_genotype_is_refused_in_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words) as error:
        MBConvNet(mbconv_genotype(**changes))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('options, words', [
    (dict(genotype=None), 'an MBConv genotype has the keys .*, not None'),
    (dict(genotype='attentivenas'), "did you mean 'attentivenas_a"),
    (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\), but this network has the stages 0 to 3'),
    (dict(out_indices=(2, 1)), 'name some of them, ascending'), (dict(out_indices=()), r'out_indices=\(\)'),
    (dict(out_indices=(1,), frozen_stages=3), 'frozen_stages=3, but this network has 2 stages')])
def test_a_wrong_argument_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MBConvNet(**{**dict(genotype=mbconv_genotype()), **options})


def test_its_file_goes_with_that_of_a_searched_neck(tmp_path):
    """An export may hold both networks in one file, where a name that both define would be lost."""
    write_bundle(dict(backbone=dict(type='MBConvNet'), neck=dict(type='MergingCellFPN')), tmp_path / 'network.py')
    names = Counter(node.name for node in ast.parse((tmp_path / 'network.py').read_text()).body
                    if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    assert {'MBConvNet', 'MergingCellFPN', 'genotype_value'} <= set(names) and set(names.values()) == {1}


def test_any_number_of_stages():
    network = MBConvNet(mbconv_genotype(genes=GENES[:1]))
    assert network.out_indices == (0,) and network(IMAGES)[0].shape == (2, 8, 25, 32)
