"""The neck against mmdet's NASFPN, its own rules, and the supernet against the neck."""

import numpy as np
import pytest
import torch
from mmdet.models.necks import NASFPN
from mmdet.registry import MODELS

from nasdet import zoo
from nasdet.convert import mmdet_nasfpn
from nasdet.models.layers.merging import global_pooling, read_cells, resample
from nasdet.models.necks import MergingCellFPN, MergingCellSupernet
from nasdet.spaces.merging_cells import MergingCellSpace

CHANNELS = [4, 8, 16, 32]
BN = dict(type='BN')
SIZES = [(128, 128), (160, 160), (132, 200), (264, 200), (333, 217)]


def neck(genotype, stacks=2, channels=CHANNELS, start_level=1, outs=5):
    if isinstance(genotype, str):
        genotype = zoo.load(genotype).plain()
    return MergingCellFPN(channels, 8, outs, genotype, start_level=start_level, stack_times=stacks, norm_cfg=BN)


def maps(size, dtype=torch.float64, grad=False, batch=2):
    """Maps as a ResNet leaves them for an image of this size: every stride rounds up."""
    torch.manual_seed(sum(size))
    return [torch.randn(batch, c, -(-size[0] // s), -(-size[1] // s), dtype=dtype, requires_grad=grad)
            for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def random_statistics(module):
    for name, buffer in module.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    return module


def gap(a, b):
    pairs = [(x.detach(), y.detach()) for x, y in zip(a, b, strict=True)]
    return max(float((x - y).abs().max() / x.abs().max().clamp(min=1e-30)) for x, y in pairs)


@pytest.mark.parametrize('dtype, bound', [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('training', [True, False])
def test_equals_mmdets_nasfpn(size, training, dtype, bound):
    torch.manual_seed(0)
    theirs = random_statistics(NASFPN(CHANNELS, 8, 5, stack_times=2, start_level=1, norm_cfg=BN))
    ours = neck('nas_fpn_mmdet')
    ours.load_state_dict(mmdet_nasfpn(theirs.state_dict()))
    theirs.to(dtype).train(training), ours.to(dtype).train(training)
    gradients, outputs = [], []
    for module in (theirs, ours):
        inputs = maps(size, dtype, grad=True)
        out = module(inputs)
        sum(o.square().sum() for o in out).backward()
        parameters = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        if module is theirs:
            parameters = mmdet_nasfpn(parameters)
        gradients.append([x.grad for x in inputs[1:]] + [parameters[name] for name in sorted(parameters)])
        outputs.append([*out, *[b for _, b in sorted(mmdet_nasfpn(dict(module.named_buffers())).items())]]
                       if module is theirs else [*out, *[b for _, b in sorted(module.named_buffers())]])
    assert len(gradients[0]) == len(gradients[1])
    assert gap(outputs[0], outputs[1]) < bound
    assert gap(gradients[0], gradients[1]) < bound


@pytest.mark.parametrize('width, stacks, parameters', [
    (64, 1, 497_600), (64, 7, 2_053_952), (128, 1, 1_527_680), (128, 7, 7_736_960), (256, 1, 5_185_280),
    (256, 7, 29_990_144), (384, 1, 10_972_800), (384, 7, 66_759_552)])
def test_parameter_count(width, stacks, parameters):
    with torch.device('meta'):
        module = zoo.build('nas_fpn_mmdet', out_channels=width, stack_times=stacks)
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_unused_features_of_the_published_cell():
    unused = [cell.unused for cell in read_cells(zoo.load('nas_fpn').plain())]
    assert unused == [(), (), (), (), (2,), (4,), ()]      # P5 joins output 5, P7 joins output 7


def test_no_feature_is_left_dangling():
    rng = np.random.default_rng(0)
    space = MergingCellSpace(num_cells=9)
    for _ in range(100):
        cells = read_cells(space.sample(rng).plain())
        consumed = {offset for cell in cells for offset in cell.inputs + cell.unused}
        assert consumed >= set(range(len(space.levels) + 4))


def test_no_cells_means_no_fusion():
    module = neck('no_fusion')
    inputs = maps((128, 96), torch.float32)
    for out, feature in zip(module(inputs), module.inputs(inputs), strict=True):
        assert torch.equal(out, feature)
    assert not list(module.stacks.parameters())


def test_gp_gate_and_operands():
    torch.manual_seed(0)
    first, second = torch.randn(2, 1, 3, 4, 4)
    peak = first.flatten(2).max(2).values[..., None, None]
    mean = second.flatten(2).mean(2)[..., None, None]
    for sources in [(5, 3), (4, 4)]:      # the first is coarser, or counts as such
        assert torch.equal(global_pooling(first, second, sources, 'reference'), first + second * peak.sigmoid())
        torch.testing.assert_close(global_pooling(first, second, sources, 'mmdet'), second + first * mean.sigmoid())
    assert torch.equal(global_pooling(second, first, (3, 5), 'reference'), first + second * peak.sigmoid())
    torch.testing.assert_close(global_pooling(second, first, (3, 5), 'mmdet'), second + first * mean.sigmoid())


@pytest.mark.parametrize('mode', ['reference', 'mmdet'])
@pytest.mark.parametrize('side', [16, 24])
def test_resampling_without_remainder_is_repetition_and_pooling(mode, side):
    x = torch.randn(2, 3, side, 2 * side)
    big = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(resample(x, 2, big.shape[-2:], mode), big)
    small = x.unfold(2, 8, 8).unfold(3, 8, 8).amax((-1, -2))
    assert torch.equal(resample(x, -3, small.shape[-2:], mode), small)


def test_resampling_with_a_remainder():
    x = -torch.arange(1., 6).reshape(1, 1, 1, 5).expand(1, 1, 5, 5)       # -1 .. -5 along each row
    assert resample(x, -1, (3, 3), 'reference')[0, 0].tolist() == [[-1, -3, -5]] * 3
    zeros = [[-1, -3, 0], [-1, -3, 0], [0, 0, 0]]      # the padding, below and on the right, wins over what is negative
    assert resample(x, -1, (3, 3), 'mmdet')[0, 0].tolist() == zeros
    assert resample(x[..., :4, :4], -1, (3, 3), 'mmdet')[0, 0].tolist() == [[0, 0, 0], [0, -2, 0], [0, 0, 0]]
    assert resample(x[..., :3, :3], 1, (5, 5), 'reference')[0, 0, 0].tolist() == [-1, -1, -2, -2, -3]
    assert resample(x[..., :2, :2], 1, (5, 5), 'mmdet')[0, 0, 0].tolist() == [-1, -1, -1, -2, -2]


@pytest.mark.parametrize('name', ['nas_fpn', 'nas_fpn_mmdet', 'fpn', 'pafpn'])
@pytest.mark.parametrize('size', [(64, 64), (96, 32), (97, 333), (333, 97)])
def test_any_image_size_gives_the_shapes_of_the_pyramid(name, size):
    module = neck(name, stacks=1).double().eval()
    inputs = maps(size)
    for out, feature in zip(module(inputs), module.inputs(inputs), strict=True):
        assert out.shape == feature.shape


def test_other_numbers_of_levels():
    rng = np.random.default_rng(0)
    for levels in [(2, 3, 4, 5), (2, 3, 4, 5, 6), (3, 4, 5, 6), (4, 5), (3, 4, 5, 6, 7, 8)]:
        value = MergingCellSpace(num_cells=len(levels) + 2, levels=levels).sample(rng).plain()
        outputs = neck(value, start_level=levels[0] - 2, outs=len(levels))(maps((256, 256), torch.float32))
        assert [out.shape[-1] for out in outputs] == [256 // 2 ** level for level in levels]


@pytest.mark.parametrize('change, words', [
    (dict(levels=[3, 5, 6, 7, 8]), 'consecutive'), (dict(gp_mode='avg'), 'gp_mode'), (dict(cells='x'), 'cell 0')])
def test_refuses_what_is_no_genotype(change, words):
    with pytest.raises(ValueError, match=words):
        read_cells({**zoo.load('nas_fpn').plain(), **change})


def test_refuses_broken_cells():
    def broken(index, **change):
        value = zoo.load('nas_fpn').plain()
        value['cells'][index].update(change)
        return value

    for value, words in [(broken(0, op='max'), "cell 0: op 'max'"), (broken(1, inputs=[1, 6]), 'cell 1: inputs'),
                         (broken(2, inputs=[3, 3]), 'cell 2: inputs'), (broken(2, level=9), 'level 9'),
                         (broken(2, level=4), 'exactly one output'), (broken(0, output=True), 'come first')]:
        with pytest.raises(ValueError, match=words):
            read_cells(value)


def test_refuses_levels_that_do_not_fit():
    with pytest.raises(ValueError, match='num_outs=4, but the genotype has the levels'):
        neck('nas_fpn', outs=4)
    with pytest.raises(ValueError, match='start_level=4, but the backbone gives 4 maps'):
        neck('nas_fpn', start_level=4)
    with pytest.raises(ValueError, match='num_outs=5, but 6 backbone maps'):
        neck('nas_fpn', start_level=0, channels=[4] * 6)
    with pytest.raises(ValueError, match='built for 4 backbone maps and was given 3'):
        neck('nas_fpn')(maps((64, 64), torch.float32)[1:])


def supernet(space, stacks=2):
    torch.manual_seed(0)
    return random_statistics(MODELS.build(dict(
        type='MergingCellSupernet', in_channels=CHANNELS, out_channels=8, levels=space.levels,
        num_cells=space.num_cells, gp_mode=space.gp_mode, top=space.top, conv_bias=space.conv_bias, start_level=1,
        stack_times=stacks, norm_cfg=BN)))


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('mode, top', [('reference', 'pool'), ('mmdet', 'conv_pool')])
def test_supernet_path_equals_its_extract(training, mode, top):
    space = MergingCellSpace(gp_mode=mode, top=top)
    shared = supernet(space).train(training)
    inputs = maps((136, 104), torch.float32)
    rng = np.random.default_rng(0)
    for _ in range(5):
        value = space.sample(rng).plain()
        alone = shared.extract(value)
        assert alone.training is training
        shared.set_path(value)
        for ours, theirs in zip(shared(inputs), alone(inputs), strict=True):
            assert torch.equal(ours, theirs)


def test_extract_copies_weights_and_leaves_the_path():
    space = MergingCellSpace()
    shared, rng = supernet(space), np.random.default_rng(0)
    first, second = space.sample(rng).plain(), space.sample(rng).plain()
    shared.set_path(first)
    path = shared.path
    alone = shared.extract(second)
    assert shared.path is path
    before = {name: p.clone() for name, p in shared.named_parameters()}
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.add_(1)
    assert all(torch.equal(p, before[name]) for name, p in shared.named_parameters())


def test_only_the_path_gets_gradients():
    space = MergingCellSpace()
    shared, value = supernet(space, stacks=1), zoo.load('nas_fpn').plain()
    shared.set_path(value)
    sum(out.square().mean() for out in shared(maps((128, 128), torch.float32))).backward()
    used = {f'stacks.0.{slot}.{cell["level"]}.' for slot, cell in enumerate(value['cells'])}
    for name, parameter in shared.stacks.named_parameters(prefix='stacks'):
        assert (parameter.grad is not None) == any(name.startswith(prefix) for prefix in used), name


def test_supernet_refuses_foreign_genotypes():
    shared = supernet(MergingCellSpace())
    with pytest.raises(RuntimeError, match='set_path'):
        shared(maps((64, 64), torch.float32))
    for name, words in [('nas_fpn_mmdet', "gp_mode='reference'"), ('fpn', '7 cells, the genotype 5')]:
        with pytest.raises(ValueError, match=words):
            shared.set_path(zoo.load(name).plain())
    value = zoo.load('nas_fpn').plain()
    value['cells'][0]['level'] = 3
    with pytest.raises(ValueError, match='cell 0 of this supernet has the levels'):
        shared.set_path(value)


def test_supernet_has_weights_for_each_slot_and_level():
    shared: MergingCellSupernet = supernet(MergingCellSpace(), stacks=3)
    assert [len(stack) for stack in shared.stacks] == [7] * 3
    assert [sorted(slot) for slot in shared.stacks[0]] == [['4', '5', '6', '7']] * 2 + [['3', '4', '5', '6', '7']] * 5
