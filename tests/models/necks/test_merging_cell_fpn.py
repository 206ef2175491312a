"""The neck against mmdet's NASFPN, and its own rules."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import NASFPN
from torch import nn

from nasdet import zoo
from nasdet.convert import mmdet_nasfpn
from nasdet.models.layers.merging import global_pooling, needs_extra_projection, read_cells, run_cells
from nasdet.models.layers.pyramid import merging_conv
from nasdet.models.necks import MergingCellFPN
from nasdet.spaces.merging_cells import MergingCellSpace
from tests.models.necks.helpers import BN, CHANNELS, gap, maps, neck, random_statistics

SIZES = [(128, 128), (160, 160), (132, 200), (264, 200), (333, 217)]


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


def published(**options):
    return {**zoo.load('nas_fpn').plain(), **options}


def cell(level, inputs, output=True, op='sum'):
    return dict(level=level, op=op, inputs=inputs, output=output)


# P4 has one consumer after another: first the rule for unused features (output 4), then an operand (output 5).
LATER_OPERAND = [cell(3, [0, 2]), cell(4, [0, 3]), cell(5, [1, 4]), cell(6, [0, 5]), cell(7, [0, 6])]


def merged_features(cells, extra):
    """Return the pyramid inputs, and what each cell hands to its convolution."""
    seen = []

    class Note(nn.Identity):
        def forward(self, x):
            seen.append(x)
            return x

    torch.manual_seed(0)
    features = [torch.randn(1, 2, 2 ** side, 2 ** side) for side in range(5, 0, -1)]
    run_cells(features, [3, 4, 5, 6, 7], cells, [Note() for _ in cells], 'reference', extra)
    return features, seen


def test_the_extra_projection_serves_every_consumer_but_the_first():
    extra = torch.randn(1, 2, 16, 16)
    features, seen = merged_features(read_cells(published()), extra)
    gate = features[3].amax((2, 3), keepdim=True).sigmoid()
    up = F.interpolate(features[3], scale_factor=4)
    torch.testing.assert_close(seen[0], up + features[1] * gate)
    torch.testing.assert_close(seen[1], extra + seen[0])

    cells = read_cells(published(cells=LATER_OPERAND))
    assert cells[1].unused == (1,) and 1 in cells[2].inputs
    plain, with_extra = merged_features(cells, None)[1], merged_features(cells, extra)[1]
    assert torch.equal(plain[1], with_extra[1])
    torch.testing.assert_close(with_extra[2] - plain[2], F.max_pool2d(extra, 2) - F.max_pool2d(features[1], 2))


def test_the_extra_projection_exists_where_it_has_a_consumer():
    single = [cell(3, [0, 1]), cell(4, [0, 5]), cell(5, [0, 2]), cell(6, [0, 3]), cell(7, [0, 4])]
    assert not needs_extra_projection(read_cells(published(cells=single)))
    assert needs_extra_projection(read_cells(published(cells=LATER_OPERAND)))
    for cells in (single, []):
        value = published(cells=cells)
        assert neck(value).state_dict().keys() == neck({**value, 'extra_projection': True}).state_dict().keys()
    module = neck(published(extra_projection=True))
    sum(out.square().sum() for out in module(maps((64, 64), torch.float32))).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert parameters(module) - parameters(neck('nas_fpn')) == CHANNELS[2] * 8 + 2 * 8
    with pytest.raises(ValueError, match='extra_projection projects the second backbone map.*only 1 is used'):
        neck(published(extra_projection=True), start_level=3)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_separable_convolution():
    conv = merging_conv(4, True, BN, 'separable').double()
    assert parameters(conv) == 4 * 9 + (4 * 4 + 4) + 2 * 4      # depthwise; pointwise with bias; norm
    depthwise, pointwise = (module for module in conv.modules() if isinstance(module, nn.Conv2d))
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    by_hand = F.conv2d(F.conv2d(x.relu(), depthwise.weight, padding=1, groups=4), pointwise.weight, pointwise.bias)
    mean, variance = by_hand.mean((0, 2, 3), keepdim=True), by_hand.var((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(conv(x.clone()), (by_hand - mean) / (variance + 1e-5).sqrt())

    def without_bias(kind):
        return parameters(neck(published(conv=kind, conv_bias=False), stacks=3))

    assert without_bias('dense') - without_bias('separable') == 3 * 7 * (9 * 64 - (9 * 8 + 64))


def test_stacks_and_width_of_the_genotype():
    module = neck(published(stacks=3), stacks=None)
    assert len(module.stacks) == 3 and len(neck('nas_fpn', stacks=None).stacks) == 1
    assert len(neck(published(stacks=3, head_depth=2), stacks=3).stacks) == 3
    value = published(width=12)
    wide = MergingCellFPN(CHANNELS, num_outs=5, genotype=value, start_level=1, norm_cfg=BN)
    assert {out.shape[1] for out in wide(maps((64, 64), torch.float32))} == {12}
    with pytest.raises(ValueError, match='stack_times=2, but the genotype has stacks=3: leave stack_times out'):
        neck(published(stacks=3), stacks=2)
    with pytest.raises(ValueError, match='out_channels=8, but the genotype has width=12: leave out_channels out'):
        neck(value)
    with pytest.raises(ValueError, match='neither out_channels of the neck nor width of the genotype'):
        MergingCellFPN(CHANNELS, num_outs=5, genotype='nas_fpn')


def test_exits():
    module = neck(published(extra_projection=True), stacks=3).eval()
    inputs = maps((64, 64), torch.float32)
    pyramids = module.pyramids(inputs)
    assert len(pyramids) == 3
    for exit_stack, pyramid in [(1, pyramids[0]), (2, pyramids[1]), (3, pyramids[2]), (None, pyramids[2])]:
        early = neck(published(extra_projection=True), stacks=3, exit_stack=exit_stack).eval()
        early.load_state_dict(module.state_dict(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(early(inputs), pyramid, strict=True))
        assert len(early.pyramids(inputs)) == (exit_stack or 3)
    for exit_stack in (0, 4):
        with pytest.raises(ValueError, match=f'exit_stack={exit_stack}, but this neck has the stacks 1 to 3'):
            neck('nas_fpn', stacks=3, exit_stack=exit_stack)


def test_drop_block():
    """Levels 3 to 7 of 160 x 96 pixels: only 20 x 12 and 10 x 6 are as large as the block of 5."""
    options = dict(drop_block=dict(drop_prob=0.3, block_size=5, warmup_iters=0))
    dropping, plain = neck('nas_fpn', stacks=1, **options), neck('nas_fpn', stacks=1)
    inputs = maps((160, 96), torch.float32)
    torch.manual_seed(0)
    dropped, kept = ([(out == 0).float().mean().item() for out in module(inputs)] for module in (dropping, plain))
    assert kept == [0] * 5 and dropped[2:] == [0] * 3
    assert all(0.1 < share < 0.5 for share in dropped[:2])
    plain.load_state_dict(dropping.state_dict(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(
        dropping.eval()(inputs), plain.eval()(inputs), strict=True))


def test_each_cell_counts_the_iterations_of_its_warm_up():
    module = neck('nas_fpn', drop_block=dict(drop_prob=0.1, block_size=3, warmup_iters=100))
    for _ in range(3):
        module(maps((128, 128), torch.float32))
    counts = [[drop.iter_cnt for drop in drops] for drops in module.drop_blocks]
    assert counts == [[3, 3, 3, 3, 3, 0, 0]] * 2        # levels 7 and 6 are 1 and 2 pixels wide
    assert [drop.iter_cnt for drop in module.eval().drop_blocks[0]] == [3, 3, 3, 3, 3, 0, 0]


@pytest.mark.parametrize('change, words', [
    (dict(levels=[3, 5, 6, 7, 8]), 'consecutive'), (dict(gp_mode='avg'), 'gp_mode'), (dict(cells='x'), 'cell 0'),
    (dict(conv='dilated'), "conv is one of .*not 'dilated'"), (dict(stacks=0), 'stacks is a whole number'),
    (dict(width=8.5), 'width is a whole number'), (dict(head_depth=True), 'head_depth is a whole number'),
    (dict(extra_projection='yes'), 'extra_projection is one of'), (dict(depth=3), 'may have extra_projection, conv')])
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
