"""The elastic network against its children: every difference is 0.0."""

import re

import pytest
import torch
from mmdet.registry import MODELS

from nasdet.models.backbones import MBConvSupernet
from nasdet.models.layers.elastic import part_of
from nasdet.models.layers.mbconv import SEMANTICS
from nasdet.models.layers.mbconv_choices import extreme_child
from nasdet.training import recalibrated
from tests.models.backbones.mbconv_helpers import drawn_children, mbconv_choices, mbconv_genotype

IMAGES = torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(0))


def supernet(semantics='attentivenas', resolution=None, **options):
    torch.manual_seed(0)
    choices = mbconv_choices(semantics, resolution)
    network = MODELS.build(dict(type='MBConvSupernet', **{**choices, **options}))
    for parameter in network.parameters():      # no weight of 1 or 0, behind which a wrong one could hide
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return network.train(), choices


def run(network):
    """Return outputs of a step, having computed its gradients; dropout always drops the same."""
    torch.manual_seed(1)
    outputs = network(IMAGES)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    network.zero_grad(set_to_none=True)
    sum(output.square().mean() for output in outputs).backward()
    return outputs


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize('options', [dict(), dict(head=True, num_classes=5, resolution=[24, 32])],
                         ids=['backbone', 'classifier'])
@pytest.mark.parametrize('semantics', SEMANTICS)
def test_a_training_step_of_a_child_is_that_of_its_extract(semantics, options):
    shared, choices = supernet(semantics, **options)
    choices['resolution'] = options.get('resolution')
    children = [extreme_child(choices), extreme_child(choices, min), *drawn_children(choices, 6)]
    for value in children:
        shared.set_path(value)
        alone = shared.extract(value)
        assert alone.training and equal(run(shared), run(alone))
        gradients = {name: parameter.grad for name, parameter in alone.named_parameters()}
        for name, parameter in shared.named_parameters():
            if name not in gradients:
                assert parameter.grad is None, name     # a block too deep, or the convolution of a shortcut
                continue
            used = gradients[name]
            assert torch.equal(part_of(parameter.grad, used.shape), used), name
            assert parameter.grad.count_nonzero() == used.count_nonzero(), name     # nothing outside the part


@pytest.mark.parametrize('semantics', SEMANTICS)
def test_an_evaluated_child_is_its_extract_with_the_same_statistics(semantics):
    shared, choices = supernet(semantics, head=True, num_classes=5)
    batches = [torch.rand(4, 3, 32, 32) for _ in range(2)]
    before = {name: buffer.clone() for name, buffer in shared.named_buffers()}
    for value in drawn_children(choices, 3):
        shared.set_path(value)
        alone = shared.extract(value)
        with torch.no_grad(), recalibrated(shared, batches, shared), recalibrated(alone, batches, alone):
            own, measured = alone.state_dict(), shared.extract(value).state_dict()
            assert equal(measured.values(), own.values())
            assert alone.stem.bn.running_var.std() > 0
            assert torch.equal(shared(IMAGES), alone(IMAGES)) and shared(IMAGES).std() > 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in shared.named_buffers())


def test_a_part_is_the_first_channels_and_the_middle_of_the_kernel():
    weight = torch.arange(4 * 3 * 7 * 7.0).reshape(4, 3, 7, 7)
    part = part_of(weight, (2, 1, 3, 5))
    assert torch.equal(part, weight[:2, :1, 2:5, 1:6])
    assert part.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()     # a view
    assert part_of(weight, weight.shape) is weight
    assert torch.equal(part_of(weight[:, 0, 0], (4, 2)), weight[:, 0, 0, :2])


def test_a_child_has_the_sizes_that_its_genotype_says():
    shared, choices = supernet(head=True)
    value = extreme_child(choices, min)
    child = shared.extract(value)
    assert [len(stage) for stage in child.stages] == [1, 1, 1, 1]
    assert torch.equal(child.stages[1][0].depthwise.conv.weight, shared.stages[1][0].depthwise.conv.weight[
        :32, :, 2:5, 2:5])
    assert child.stages[3][0].project.conv.weight.shape == (32, 144, 1, 1)
    assert child.stages[0][0].shortcut is None and shared.stages[0][0].shortcut is not None
    assert child.head.conv.conv.weight.shape == (192, 32, 1, 1) and child.head.fc.in_features == 32
    with torch.no_grad():
        child.stem.conv.weight.add_(1)
    assert not torch.equal(child.stem.conv.weight, shared.stem.conv.weight[:8])     # a copy


def test_training_keeps_no_running_statistics():
    shared, choices = supernet()
    optimiser = torch.optim.SGD(shared.parameters(), lr=0.1)
    for value in drawn_children(choices, 3):
        shared.set_path(value)
        run(shared)
        optimiser.step()
    for name, buffer in shared.named_buffers():
        assert buffer.unique().tolist() == [1.0 if name.endswith('running_var') else 0.0], name
    with pytest.raises(RuntimeError, match=re.escape('evaluate a child inside nasdet.training.recalibrated()')):
        shared.eval()(IMAGES)


def test_only_the_largest_child_is_regularised():
    shared, choices = supernet(head=True, dropout=0.3, drop_path=0.4)
    for value, active in ((extreme_child(choices), True), (extreme_child(choices, min), False),
                          (extreme_child(choices), True), (drawn_children(choices, 1)[0], False)):
        shared.set_path(value)
        alone = shared.extract(value)
        for network in (shared, alone):
            probabilities = [block.drop_prob for stage in network.stages for block in stage]
            assert network.head.dropout.p == (0.3 if active else 0.0)
            assert probabilities[-1] == (pytest.approx(0.4 * 8 / 9) if active else 0.0)


@pytest.mark.parametrize('semantics, zero', [
    ('efficientnet', [[False, True], [False, True, True], [False, True], [False, True]]),
    ('attentivenas', [[True] * 2, [True] * 3, [True] * 2, [True] * 2])])
def test_blocks_start_as_their_shortcut_where_every_child_has_one(semantics, zero):
    """The first block of stage 1 has a shortcut in some of EfficientNet's children; zeros would silence the others."""
    shared = MBConvSupernet(**mbconv_choices(semantics))
    shared.init_weights()
    weights = [[block.project.bn.weight.unique().tolist() for block in stage] for stage in shared.stages]
    assert weights == [[[0] if started else [1] for started in stage] for stage in zero]


def test_a_child_of_one_width_keeps_its_shortcut_without_a_convolution():
    choices = mbconv_choices(stem_channels=[8])
    choices['stages'][0]['channels'] = [8]
    shared = MBConvSupernet(**choices)
    assert shared.stages[0][0].shortcut is None and shared.stages[1][0].shortcut is not None
    assert all(block.shortcut is None for stage in shared.stages for block in stage[1:])


def test_a_backbone_has_no_stages_after_its_last_map():
    shared, choices = supernet(out_indices=(0, 2))
    assert len(shared.stages) == 3
    shared.set_path(extreme_child(choices))
    assert [out.shape[1] for out in shared(IMAGES)] == [16, 24]


def test_it_refuses_foreign_genotypes():
    shared, choices = supernet()
    with pytest.raises(RuntimeError, match=re.escape('no path yet: call set_path(genotype value) before forward()')):
        shared(IMAGES)
    child = extreme_child(choices)
    foreign = [{**child, 'stages': [*child['stages'][:1], {**child['stages'][1], **changes}, *child['stages'][2:]]}
               for changes in (dict(kernel=9), dict(stride=1), dict(se=True), dict(depth=4))]
    for value, words in [
            (foreign[0], 'stage2.kernel of the children is one of [3, 5, 7], of the genotype 9'),
            (foreign[1], 'stage 2 of the children has stride=2, of the genotype 1'),
            (foreign[2], 'stage 2 of the children has se=False, of the genotype True'),
            (foreign[3], 'stage2.depth of the children is one of [1, 2, 3], of the genotype 4'),
            ({**child, 'semantics': 'efficientnet'}, "semantics='attentivenas', the genotype 'efficientnet'"),
            ({**child, 'resolution': 32}, 'choose their resolution from None, the genotype has 32'),
            ({**child, 'stages': child['stages'][:3]}, 'the children have 4 stages, the genotype 3'),
            ({**child, 'stem_channels': 12}, 'stem.channels of the children is one of [8, 16], of the genotype 12'),
            (dict(child, head_channels=None), 'head_channels is a whole number, at least 1, not None'),
            (dict(width=3), 'an MBConv genotype has the keys')]:
        for refuse in (shared.set_path, shared.extract):
            with pytest.raises(ValueError, match=re.escape(words)):
                refuse(value)
    assert shared.depths is None


def choices_with(**changes):
    choices = mbconv_choices()
    choices['stages'][1].update(changes)
    return choices


@pytest.mark.parametrize('choices, words', [
    (mbconv_choices(stages=[]), 'stages is a list of the choices of one or more stages'),
    (mbconv_choices(stem_channels=16), 'stem.channels is chosen from a list of different values, not from 16'),
    (mbconv_choices(head_channels=[32, 32]), 'head.channels is chosen from a list of different values, not from'),
    (mbconv_choices(resolution=[0]), 'resolution is a whole number, at least 1, not 0'),
    (mbconv_choices(semantics='megvii'), "semantics is one of efficientnet, attentivenas, not 'megvii'"),
    (choices_with(kernel=[3, 4]), 'the kernel of stage 2 is odd'), (choices_with(depth=[]), 'stage2.depth is chosen'),
    (choices_with(depth=[0, 1]), 'stage2.depth is a whole number, at least 1, not 0'),
    (choices_with(expansion=[1, 4]), 'with 1 its blocks lack a convolution'),
    (choices_with(stride=3), 'the stride of stage 2 is 1 or 2, not 3'),
    (mbconv_choices(stages=mbconv_genotype()['stages']), 'stage1.channels is chosen from a list'),
    (mbconv_choices(norm_cfg=dict(type='SyncBN')), 'has batch norm (BN), not SyncBN'),
    (mbconv_choices(out_indices=(4,)), 'this network has the stages 0 to 3')])
def test_a_wrong_argument_is_refused(choices, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        MBConvSupernet(**choices)
