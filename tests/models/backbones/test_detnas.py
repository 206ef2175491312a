import ast
import copy
from collections import Counter

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import save_checkpoint
from torch import nn

from nasdet import zoo
from nasdet.bundle import write_bundle
from nasdet.models.backbones import DetNASNet
from nasdet.models.layers.choice_blocks import KERNELS, ChoiceBlock, split_channels
from tests.models.backbones.helpers import HEAD, choice_genotype

BN = dict(type='BN')
IMAGES = torch.rand(2, 3, 70, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('shuffle, passed, chosen', [
    ('halves', [0, 5, 1, 6, 2], [7, 3, 8, 4, 9]), ('even_odd', [0, 2, 4, 6, 8], [1, 3, 5, 7, 9])])
def test_channels_are_split_by_this_permutation(shuffle, passed, chosen):
    x = torch.randn(2, 10, 3, 4)
    first, second = split_channels(x, shuffle)
    assert torch.equal(first, x[:, passed]) and torch.equal(second, x[:, chosen])


@pytest.mark.parametrize('kind', KERNELS)
@pytest.mark.parametrize('shuffle', ['halves', 'even_odd'])
def test_a_block_of_stride_1_passes_half_of_its_channels_unchanged(kind, shuffle):
    block, x = ChoiceBlock(kind, 12, 12, 1, shuffle, BN).eval(), torch.randn(2, 12, 5, 6)
    passed, chosen = split_channels(x, shuffle)
    out = block(x)
    assert torch.equal(out[:, :6], passed) and torch.equal(out[:, 6:], block.branch(chosen))
    assert out[:, 6:].min() == 0    # it ends with ReLU


@pytest.mark.parametrize('kind', KERNELS)
def test_a_block_of_stride_2_projects_what_enters_and_adds_the_rest(kind):
    block, x = ChoiceBlock(kind, 4, 12, 2, 'halves', BN).eval(), torch.randn(2, 4, 7, 8)
    out = block(x)
    assert out.shape == (2, 12, 4, 4)
    assert torch.equal(out[:, :4], block.projection(x)) and torch.equal(out[:, 4:], block.branch(x))


@pytest.mark.parametrize('kind, layers', [
    ('shuffle5', ['1x1', 'norm', 'relu', 'dw5/2', 'norm', '1x1', 'norm', 'relu']),
    ('xception', ['dw3/2', 'norm', '1x1', 'norm', 'relu'] + 2 * ['dw3/1', 'norm', '1x1', 'norm', 'relu'])])
def test_the_main_branch_has_these_layers(kind, layers):
    branch = ChoiceBlock(kind, 8, 24, 2, 'halves', BN).branch
    assert [described(layer) for layer in branch] == layers
    assert [layer.out_channels for layer in branch if described(layer) == '1x1'][-1] == 16
    assert not any(layer.bias is not None for layer in branch if isinstance(layer, nn.Conv2d))


def described(layer):
    if isinstance(layer, nn.Conv2d):
        kernel = layer.kernel_size[0]
        return '1x1' if kernel == 1 and layer.groups == 1 else f'dw{kernel}/{layer.stride[0]}'
    return {nn.BatchNorm2d: 'norm', nn.ReLU: 'relu'}[type(layer)]


def test_maps_of_the_stages_asked_for():
    network = MODELS.build(dict(type='DetNASNet', genotype=choice_genotype()))
    assert [tuple(out.shape) for out in network(IMAGES)] == [
        (2, 8, 18, 16), (2, 12, 9, 8), (2, 20, 5, 4), (2, 24, 3, 2)]
    assert [out.shape[1] for out in DetNASNet(choice_genotype(), out_indices=(1, 3))(IMAGES)] == [12, 24]


def test_the_input_may_be_the_detectors():
    assert DetNASNet(choice_genotype(input='detector'))(IMAGES)


def test_any_number_of_stages():
    genotype = choice_genotype()
    genotype['stages'] = genotype['stages'][:2] + [dict(channels=30, blocks=['shuffle3'] * 5)]
    assert [out.shape[1] for out in DetNASNet(genotype, out_indices=(0, 1, 2))(IMAGES)] == [8, 12, 30]


def test_a_published_genotype_by_its_name():
    with torch.device('meta'):
        by_name = DetNASNet('detnas_coco_fpn_300m')
        by_value = DetNASNet(zoo.load('detnas_coco_fpn_300m').plain())
    shapes = [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in (by_name, by_value)]
    assert shapes[0] == shapes[1]


def test_the_head_gives_logits_of_the_pooled_last_map():
    network = DetNASNet(choice_genotype(), head=True, num_classes=5).eval()
    head, plain = network.head, DetNASNet(choice_genotype()).eval()
    missing = plain.load_state_dict(network.state_dict(), strict=False)
    assert not missing.missing_keys
    last = plain(IMAGES)[-1]
    pooled = torch.relu(head.norm(head.conv(last))).flatten(2).mean(2)
    assert head.conv.out_channels == HEAD and head.conv.bias is not None and head.fc.bias is not None
    torch.testing.assert_close(network(IMAGES), pooled @ head.fc.weight.T + head.fc.bias)
    assert not torch.equal(network.train()(IMAGES), network(IMAGES))     # dropout


@pytest.mark.parametrize('frozen', [-1, 0, 2, 4])
def test_frozen_stages_keep_parameters_and_statistics_in_training(frozen):
    network = DetNASNet(choice_genotype(), frozen_stages=frozen)
    parts = [network.stem, *network.stages]
    for part, still in zip(parts, [True] * (frozen + 1) + [False] * 5, strict=False):
        assert all(parameter.requires_grad is not still for parameter in part.parameters())
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    network.eval()
    network.train()(IMAGES)
    unchanged = [all(torch.equal(value, part.state_dict()[name]) for name, value in state.items())
                 for part, state in zip(parts, before, strict=True)]
    assert unchanged == [True] * (frozen + 1) + [False] * (4 - frozen)


def test_norm_eval_keeps_statistics_but_trains_the_affine_part():
    network = DetNASNet(choice_genotype(), norm_eval=True).train()
    before = copy.deepcopy(network.state_dict())
    network(IMAGES)[-1].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.stem[1].weight.grad.abs().sum() > 0 and network.training and network.stages.training


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    network = DetNASNet(zoo.load('detnas_voc_fpn_300m').plain(), head=True)
    network.init_weights()
    expected = {network.stem[0]: 0.01, network.head.conv: 1 / 640, network.head.fc: 0.01,
                network.stages[3][1].branch[2]: 1 / 320, network.stages[3][1].branch[0]: 1}
    for layer, std in expected.items():
        assert layer.weight.std().item() == pytest.approx(std, rel=0.15)
        assert abs(layer.weight.mean().item()) < 0.15 * std
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.unique().tolist() == [1] and module.bias.unique().tolist() == pytest.approx([1e-4])
    assert all(layer.bias.abs().max() == 0 for layer in (network.stem[0], network.head.conv, network.head.fc))


def test_pretrained_weights_win_over_initial_ones(tmp_path):
    source = DetNASNet(choice_genotype(), head=True)
    save_checkpoint(dict(state_dict={f'backbone.{name}': value for name, value in source.state_dict().items()}),
                    str(tmp_path / 'classifier.pth'))
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'classifier.pth'), prefix='backbone.')
    network = DetNASNet(choice_genotype(), init_cfg=init_cfg)
    network.init_weights()
    network.init_weights()      # a second call draws nothing anew
    for name, value in network.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_normalisation_is_by_config():
    network = DetNASNet(choice_genotype(), norm_cfg=dict(type='SyncBN', momentum=0.01), head=True)
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(isinstance(norm, nn.SyncBatchNorm) and norm.momentum == 0.01 for norm in norms)


def stages(*pairs):
    return [dict(channels=channels, blocks=blocks) for channels, blocks in pairs]


@pytest.mark.parametrize('changes, words', [
    (dict(stages=stages((8, ['shuffle3', 'shuffle9']))), "stage 1, block 2: 'shuffle9' is not one of the blocks"),
    (dict(stages=stages((8, [0, 1]))), 'stage 1, block 1: 0 is not one of the blocks shuffle3, shuffle5'),
    (dict(stages=stages((8, ['shuffle3']), (13, ['shuffle3']))), 'stage 2 has 13 channels: take an even number'),
    (dict(stages=stages((8, ['shuffle3']), (8, ['shuffle3']))), 'stage 2 has 8 channels, but needs more than the 8'),
    (dict(stages=stages((8, []))), 'the blocks of stage 1 are a list with at least'),
    (dict(stages=stages((8.0, ['shuffle3']))), 'channels of stage 1: a whole number, at least 1, not 8.0'),
    (dict(stages=[]), 'at least one stage'),
    (dict(stages='shuffle3'), "stages is a list, not 'shuffle3'"),
    (dict(stages=[dict(channels=8)]), 'stage 1 has the keys channels and blocks, not channels'),
    (dict(semantics='mmrazor'), "semantics is 'megvii', not 'mmrazor'"),
    (dict(shuffle=1), r"shuffle is one of \('halves', 'even_odd'\), not 1"),
    (dict(stem_channels=0), 'stem_channels: a whole number, at least 1, not 0'),
    (dict(head_channels=None), 'head_channels: a whole number, at least 1, not None'),
    (dict(input=dict(channels='bgr', mean=[0, 0, 0])), 'keys channels, mean and std, not channels, mean'),
    (dict(input=dict(channels='gray', mean=[0, 0, 0], std=[1, 1, 1])), "not 'gray'"),
    (dict(input=dict(channels='rgb', mean=[0, 0], std=[1, 1, 1])), 'mean of the input is three numbers'),
    (dict(input=dict(channels='rgb', mean=0, std=[1, 1, 1])), 'mean of the input is three numbers'),
    (dict(input=dict(channels='rgb', mean=[0, 0, 0], std=[1, 0, 1])), 'std of the input is positive'),
    (dict(depth=3), 'a choice-block genotype has the keys semantics, shuffle, input')])
def test_a_wrong_genotype_is_refused_in_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words) as error:
        DetNASNet(choice_genotype(**changes))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('options, words', [
    (dict(genotype=None), 'a choice-block genotype has the keys .*, not None'),
    (dict(genotype='detnas_coco_fpn'), "did you mean 'detnas_coco_fpn_"),
    (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\), but this network has the stages 0 to 3'),
    (dict(out_indices=(2, 1)), 'name some of them, ascending'),
    (dict(out_indices=()), r'out_indices=\(\)'),
    (dict(frozen_stages=5), 'frozen_stages=5, but this network has 4 stages')])
def test_a_wrong_argument_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DetNASNet(**{**dict(genotype=choice_genotype()), **options})


def test_its_file_goes_with_that_of_a_searched_neck(tmp_path):
    """An export may hold both networks in one file, where a name that both define would be lost."""
    write_bundle(dict(backbone=dict(type='DetNASNet'), neck=dict(type='MergingCellFPN')), tmp_path / 'network.py')
    names = Counter(node.name for node in ast.parse((tmp_path / 'network.py').read_text()).body
                    if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    assert {'DetNASNet', 'MergingCellFPN', 'genotype_value'} <= set(names) and set(names.values()) == {1}
