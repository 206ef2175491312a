"""The weight-shared network against the networks that it holds."""

import re

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from nasdet import zoo
from nasdet.models.necks import MergingCellSupernet
from nasdet.spaces.merging_cells import MergingCellSpace
from tests.models.necks.helpers import BN, CHANNELS, maps, random_statistics


def supernet(space, **options):
    torch.manual_seed(0)
    return random_statistics(MODELS.build(dict(
        type='MergingCellSupernet', in_channels=CHANNELS, out_channels=8, levels=space.levels,
        num_cells=space.num_cells, gp_mode=space.gp_mode, top=space.top, conv_bias=space.conv_bias, start_level=1,
        norm_cfg=BN, **(options or dict(stack_times=2)))))


OPEN = dict(stacks=3, convs=('dense', 'separable'), extra_projection=True)      # a supernet that leaves these open


def values(space, number=5, **options):
    """Return genotypes of the space, their further options drawn."""
    rng = np.random.default_rng(0)
    return [{**space.sample(rng).plain(), **{name: rng.choice(choices).item() for name, choices in options.items()}}
            for _ in range(number)]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('mode, top', [('reference', 'pool'), ('mmdet', 'conv_pool')])
@pytest.mark.parametrize('options', [{}, OPEN])
def test_path_equals_its_extract(training, mode, top, options):
    space = MergingCellSpace(gp_mode=mode, top=top)
    shared = supernet(space, **options).train(training)
    inputs = maps((136, 104), torch.float32)
    drawn = dict(stacks=[1, 2, 3], conv=['dense', 'separable'], extra_projection=[True]) if options else {}
    for value in values(space, **drawn):
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
    shared, value = supernet(space, stack_times=1), zoo.load('nas_fpn').plain()
    shared.set_path(value)
    sum(out.square().mean() for out in shared(maps((128, 128), torch.float32))).backward()
    used = {f'stacks.0.{slot}.{cell["level"]}.' for slot, cell in enumerate(value['cells'])}
    for name, parameter in shared.stacks.named_parameters(prefix='stacks'):
        assert (parameter.grad is not None) == any(name.startswith(prefix) for prefix in used), name


@pytest.mark.parametrize('conv, stacks, extra', [('separable', 2, True), ('dense', 1, False)])
def test_only_the_options_of_the_path_get_gradients(conv, stacks, extra):
    shared = supernet(MergingCellSpace(), **OPEN)
    value = {**zoo.load('nas_fpn').plain(), 'conv': conv, 'stacks': stacks, 'extra_projection': True}
    if not extra:       # P4 has one consumer, output 4
        value['cells'][:2] = [dict(level=4, op='sum', inputs=[0, 3], output=False),
                              dict(level=4, op='sum', inputs=[2, 5], output=False)]
    shared.set_path(value)
    sum(out.square().mean() for out in shared(maps((128, 128), torch.float32))).backward()
    used = {f'stacks.{stack}.{slot}.{cell["level"]}.{conv}.' for slot, cell in enumerate(value['cells'])
            for stack in range(stacks)}
    for name, parameter in shared.named_parameters():
        expected = name.startswith(tuple(used)) if name.startswith('stacks') else extra or 'extra' not in name
        assert (parameter.grad is not None) == expected, name


def test_a_flag_without_effect_is_no_difference():
    """Canonical genotypes leave extra_projection out where the second input has one consumer."""
    value = dict(zoo.load('fpn').plain())
    assert 'extra_projection' not in value
    for own in (True, False):
        shared = supernet(MergingCellSpace(num_cells=5), extra_projection=own)
        shared.set_path(value)
        shared.set_path({**value, 'extra_projection': True})
        assert not shared.path.extra


def test_supernet_refuses_foreign_genotypes():
    shared = supernet(MergingCellSpace())
    with pytest.raises(RuntimeError, match='set_path'):
        shared(maps((64, 64), torch.float32))
    for name, words in [('nas_fpn_mmdet', "gp_mode='reference'"), ('fpn', '7 cells, the genotype 5')]:
        with pytest.raises(ValueError, match=words):
            shared.set_path(zoo.load(name).plain())
    value = zoo.load('nas_fpn').plain()
    for change, words in [(dict(conv='separable'), "the convolutions ['dense'], the genotype wants 'separable'"),
                          (dict(stacks=3), 'has 2 stacks, the genotype wants 3'),
                          (dict(width=16), 'has width=8, the genotype 16'),
                          (dict(extra_projection=True), 'has extra_projection=False, the genotype True')]:
        with pytest.raises(ValueError, match=re.escape(words)):
            shared.set_path({**value, **change})
    with pytest.raises(ValueError, match='stack_times=2 and stacks=3: leave one of them out'):
        supernet(MergingCellSpace(), stack_times=2, stacks=3)
    value['cells'][0]['level'] = 3
    with pytest.raises(ValueError, match='cell 0 of this supernet has the levels'):
        shared.set_path(value)


def test_supernet_has_weights_for_each_slot_and_level():
    shared: MergingCellSupernet = supernet(MergingCellSpace(), stack_times=3)
    assert [len(stack) for stack in shared.stacks] == [7] * 3
    assert [sorted(slot) for slot in shared.stacks[0]] == [['4', '5', '6', '7']] * 2 + [['3', '4', '5', '6', '7']] * 5
