"""The weight-shared network against the networks that it holds: every difference is 0.0."""

import re

import pytest
import torch
from mmdet.registry import MODELS

from nasdet.models.backbones import DetNASSupernet
from tests.models.backbones.helpers import HEAD, MIXED, STAGES, STEM, choice_genotype, drawn_genotypes

IMAGES = torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(0))
SHUFFLES = ['halves', 'even_odd']


def supernet(**options):
    torch.manual_seed(0)
    network = MODELS.build(dict(type='DetNASSupernet', stages=STAGES, stem_channels=STEM, head_channels=HEAD,
                                **options))
    for name, buffer in network.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    return network


def name_in_supernet(name, value):
    """Return what a tensor of a path's own network is called in the supernet."""
    parts = name.split('.')
    if parts[0] == 'stages':
        parts.insert(3, value['stages'][int(parts[1])]['blocks'][int(parts[2])])
    return '.'.join(parts)


def run(network):
    """Return outputs of a step, having computed its gradients; dropout always drops the same."""
    torch.manual_seed(1)
    outputs = network(IMAGES)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    network.zero_grad(set_to_none=True)
    sum(output.square().mean() for output in outputs).backward()
    return outputs


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('head', [False, True])
@pytest.mark.parametrize('shuffle', SHUFFLES)
def test_path_equals_its_extract(training, head, shuffle):
    shared = supernet(shuffle=shuffle, head=head, num_classes=5).train(training)
    for value in drawn_genotypes(20, shuffle):
        alone = shared.extract(value)
        assert alone.training is training
        shared.set_path(value)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(run(shared), run(alone), strict=True))

        parameters, buffers = dict(shared.named_parameters()), dict(shared.named_buffers())
        used = {name_in_supernet(name, value): parameter for name, parameter in alone.named_parameters()}
        for name, parameter in parameters.items():
            if name in used:
                assert torch.equal(parameter.grad, used[name].grad), name
            else:
                assert parameter.grad is None, name
        for name, buffer in alone.named_buffers():      # running statistics, after the step
            assert torch.equal(buffer, buffers[name_in_supernet(name, value)]), name


def test_extract_copies_weights_and_leaves_the_path():
    shared, (first, second) = supernet(), drawn_genotypes(2)
    shared.set_path(first)
    path = shared.path
    alone = shared.extract(second)
    assert shared.path is path
    before = {name: parameter.clone() for name, parameter in shared.named_parameters()}
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.add_(1)
    assert all(torch.equal(parameter, before[name]) for name, parameter in shared.named_parameters())


def test_an_optimiser_leaves_unused_blocks_alone():
    """Momentum and weight decay move what has a gradient, even one of zeros; None they pass over."""
    shared, (first, second) = supernet(), (choice_genotype(), choice_genotype([['shuffle3'] * len(k) for k in MIXED]))
    optimiser = torch.optim.SGD(shared.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for value in (first, second):
        shared.set_path(value)
        before = {name: parameter.clone() for name, parameter in shared.named_parameters()}
        run(shared)
        optimiser.step()
        used = {name_in_supernet(name, value) for name, _ in shared.extract(value).named_parameters()}
        moved = {name for name, parameter in shared.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == used


def test_it_has_the_choices_and_stages_asked_for():
    shared = supernet(choices=('shuffle7', 'xception'), out_indices=(1, 3), norm_cfg=dict(type='SyncBN'))
    assert [list(block) for stage in shared.stages for block in stage] == [['shuffle7', 'xception']] * 8
    assert all(type(module).__name__ != 'BatchNorm2d' for module in shared.modules())
    shared.eval().set_path(choice_genotype([['shuffle7'] * len(blocks) for blocks in MIXED]))
    assert [out.shape[1] for out in shared(IMAGES)] == [12, 24]


def test_initial_weights_are_the_authors():
    shared = supernet(head=True)
    shared.init_weights()
    branch = shared.stages[3][1]['xception'].branch
    assert branch[12].weight.std().item() == pytest.approx(1 / 12, rel=0.2)
    assert branch[13].bias[0].item() == pytest.approx(1e-4)
    assert shared.stem[0].weight.std().item() == pytest.approx(0.01, rel=0.3)


def test_it_refuses_foreign_genotypes():
    shared = supernet(choices=('shuffle3', 'shuffle5', 'shuffle7'))
    with pytest.raises(RuntimeError, match=re.escape('no path yet: call set_path(genotype value) before forward()')):
        shared(IMAGES)
    plain = [['shuffle3'] * len(blocks) for blocks in MIXED]
    deeper = choice_genotype(plain)
    deeper['stages'][1]['blocks'] *= 2
    for value, words in [
            (choice_genotype(), 'has the choices shuffle3, shuffle5, shuffle7, the genotype wants xception'),
            (choice_genotype(plain, 'even_odd'), "has shuffle='halves', the genotype 'even_odd'"),
            (choice_genotype(plain, stem_channels=2), 'has stem_channels=4, the genotype 2'),
            (choice_genotype(plain, head_channels=32), 'has head_channels=16, the genotype 32'),
            (choice_genotype(plain, semantics='mmrazor'), "semantics is 'megvii', not 'mmrazor'"),
            (deeper, 'stages of 8 x 2, 12 x 1, 20 x 3, 24 x 2 (channels x blocks), the genotype of 8 x 2, 12 x 2')]:
        for refuse in (shared.set_path, shared.extract):
            with pytest.raises(ValueError, match=re.escape(words)):
                refuse(value)
    assert shared.path is None


@pytest.mark.parametrize('options, words', [
    (dict(choices=('shuffle3', 'skip')), "choices: 'skip' is not one of the blocks"),
    (dict(choices=()), 'choices are one or several different blocks'),
    (dict(choices=('shuffle3', 'shuffle3')), 'choices are one or several different blocks'),
    (dict(stages=[dict(channels=8)]), 'stage 1 is a dict with channels and num_blocks, not'),
    (dict(stages=[dict(channels=8, num_blocks=0)]), 'num_blocks of stage 1: a whole number, at least 1, not 0'),
    (dict(stages=[dict(channels=9, num_blocks=1)]), 'stage 1 has 9 channels: take an even number'),
    (dict(out_indices=(0, 4)), 'this network has the stages 0 to 3'),
    (dict(shuffle='odd'), 'shuffle is one of'), (dict(semantics='mmrazor'), "semantics is 'megvii'")])
def test_a_wrong_argument_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DetNASSupernet(**{**dict(stages=STAGES, stem_channels=STEM), **options})
