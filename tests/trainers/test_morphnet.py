"""MorphNet's trainer: what it records, resumes and gives."""

import copy
import json
import logging
import re

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

from nasdet.datasets import prepare
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.models.channels import choose_origin, inherit_weights, trace_channels
from nasdet.registry import TRAINERS, build
from nasdet.spaces import WidthSpace
from nasdet.testing import check_trainer
from nasdet.trainers import MorphNetTrainer
from nasdet.trainers.morphnet_config import structure_learning
from nasdet.trainers.morphnet_weights import hand_on
from nasdet.training.importance import Importance
from tests.classifiers import write_config

IMAGES = 48
# Six iterations move a gamma by some percent, so what is dead here is all but alive.
SMALL = dict(rounds=2, epochs=2, strength=10.0, gamma_threshold=0.97, goal=0.8, budget=0.6, patience=None, seed=5)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepared')
    data = dict(type='HandwrittenDigits', size=8, train_size=IMAGES, val_size=16, test_size=16)
    config = Config.fromfile(str(write_config(folder / 'tiny.py', data=data)))
    config.train_dataloader.dataset.transforms = []
    config.train_dataloader.batch_size = 16
    config.custom_hooks = []
    config.model = ConfigDict(
        type='ImageClassifier', data_preprocessor=config.model.data_preprocessor, num_classes=10, in_channels=64,
        backbone=dict(type='ResNet', depth=18, base_channels=8, num_stages=4, norm_eval=False,
                      zero_init_residual=False))
    config = prepare(config, folder)
    config.pop('search')
    return config


@pytest.fixture
def config(prepared):
    return copy.deepcopy(prepared)


def trainer_of(config, folder, **options) -> MorphNetTrainer:
    return MorphNetTrainer(WidthSpace(config.model, (3, 8, 8)), config, folder, **{**SMALL, **options})


class Steps:
    """Takes what is recorded."""

    def __init__(self):
        self.taken = {}

    def __call__(self, number, genotype, evaluation, candidate=False):
        self.taken.setdefault(number, (genotype, evaluation.metrics, evaluation.fidelity, candidate))


@pytest.fixture(scope='module')
def undisturbed(prepared, tmp_path_factory):
    folder, steps = tmp_path_factory.mktemp('undisturbed'), Steps()
    trainer_of(copy.deepcopy(prepared), folder).run(steps)
    return folder, steps.taken


def test_epochs_are_shown_and_the_last_expansion_is_the_result(config, undisturbed):
    folder, steps = undisturbed
    trainer = trainer_of(config, folder)
    assert list(steps) == list(range(trainer.steps)) == list(range(5))
    assert trainer.images == 4 * IMAGES
    assert [candidate for *_, candidate in steps.values()] == [False] * 4 + [True]
    for _, metrics, fidelity, _ in steps.values():
        assert set(metrics) == set(trainer.metric_names)
        assert 0 < fidelity['alive'] <= 1
    assert [fidelity['round'] for *_, fidelity, _ in steps.values()] == [1, 1, 2, 2, 2]
    assert sorted(path.name for path in (folder / 'training' / 'round-2').iterdir()) == [
        'log.txt', 'result.json', 'weights.pth']


@pytest.mark.parametrize('target', ['params', 'activations', dict(type='latency', peak=8.1e12, bandwidth=3e11)])
def test_half_the_cost_is_left_whatever_costs(config, tmp_path, target):
    steps, space = Steps(), WidthSpace(config.model, (3, 8, 8))
    trainer_of(config, tmp_path, rounds=1, budget=0.5, target=target).run(steps)
    shown, found = steps.taken[1], steps.taken[2][0]
    whole = space.cost(space.seed(), target)
    assert shown[2]['alive'] == pytest.approx(space.cost(shown[0], target) / whole, abs=1e-4)
    assert shown[2]['alive'] < 1
    assert 0.98 * 0.5 <= space.cost(found, target) / whole <= 0.5


def test_a_round_starts_from_what_the_round_before_was_expanded_to(config, undisturbed):
    folder, steps = undisturbed
    trainer, space = trainer_of(config, folder), WidthSpace(config.model, (3, 8, 8))
    whole = space.cost(space.seed())
    assert steps[1][2]['alive'] == pytest.approx(space.cost(steps[1][0]) / whole, abs=1e-4)
    assert steps[1][2]['alive'] < 1     # something died
    second = trainer._expanded(steps[1][0])
    assert 0.98 * 0.6 <= space.cost(second) / whole <= 0.6
    assert steps[3][2]['alive'] == pytest.approx(space.cost(steps[3][0]) / space.cost(second), abs=1e-4)
    assert steps[4][0] == trainer._expanded(steps[3][0])
    network = MODELS.build(space.apply(steps[4][0], config.model))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_widths_are_rounded_once_and_after_the_expansion(config, tmp_path):
    """A quarter of each group, but of one a single channel: 4 times 1 is rounded to 8, not 4 times 8."""
    config.model.backbone.base_channels, config.model.in_channels = 32, 256
    space = WidthSpace(config.model, (3, 8, 8), divisor=8)
    trainer = MorphNetTrainer(space, config, tmp_path, rounds=1)
    lone = 'backbone.layer2.1.conv1'
    widths = {name: 1 if name == lone else width // 4 for name, width in space.seed().value['widths'].items()}
    folder = tmp_path / 'training' / 'round-1'
    folder.mkdir(parents=True)
    (folder / 'result.json').write_text(json.dumps(dict(epochs=1, widths=widths)))
    expanded = trainer._seeds()[-1].value['widths']
    assert expanded[lone] == 8
    assert expanded['backbone.layer2.0.conv1'] == space.seed().value['widths']['backbone.layer2.0.conv1']


def test_the_result_inherits_the_most_important_channels(config, undisturbed, tmp_path):
    """The file loads strictly; its stem has the filters of the largest gammas, its norms statistics of their own."""
    folder, steps = undisturbed
    trainer, genotype = trainer_of(config, folder), steps[4][0]
    trainer.weights(genotype, tmp_path / 'weights.pth')
    state = torch.load(tmp_path / 'weights.pth', weights_only=True)['state_dict']
    network = MODELS.build(trainer.space.apply(genotype, config.model))
    network.load_state_dict(state, strict=True)
    trained = torch.load(folder / 'training' / 'round-2' / 'weights.pth', weights_only=True)['state_dict']
    name = 'backbone.layer3.1.'      # its inner group is measured by one batch norm
    width = genotype.value['widths'][f'{name}conv1']
    gammas = trained[f'{name}bn1.weight']
    kept = gammas.abs().argsort(descending=True, stable=True)[:width].sort().values
    assert torch.equal(state[f'{name}bn1.weight'][:len(kept)], gammas[kept])
    assert not torch.equal(state[f'{name}bn1.running_mean'][:len(kept)], trained[f'{name}bn1.running_mean'][kept])


def test_the_same_weights_are_written_again_new_channels_too(config, undisturbed, tmp_path):
    folder, steps = undisturbed
    trainer, name = trainer_of(config, folder), 'backbone.layer3.1.conv1'
    started = trainer._seeds()[-2].value['widths'][name]
    wider = Genotype('WidthSpace', dict(widths={**steps[4][0].plain()['widths'], name: started + 2}))
    files = [tmp_path / 'first.pth', tmp_path / 'second.pth']
    for number, file in enumerate(files):
        torch.manual_seed(number)
        trainer.weights(wider, file)
    first, second = (torch.load(file, weights_only=True)['state_dict'] for file in files)
    assert first.keys() == second.keys() and first[f'{name}.weight'].shape[0] == started + 2
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())
    assert first[f'{name}.weight'][-2:].any()


def test_the_cost_of_each_round_and_of_the_result_is_told_beside_what_was_wanted(config, undisturbed):
    folder, steps = undisturbed
    trainer = trainer_of(config, folder)
    first, second, result = trainer.cost_goals([steps[number][0] for number in range(4)])
    whole, alive = trainer.space.cost(trainer.space.seed()), [steps[number][2]['alive'] for number in range(4)]
    assert (first.start, first.wanted) == (whole, 0.8 * whole)
    assert second.start == trainer.space.cost(trainer._expanded(steps[1][0]))
    for goal, shares in ((first, alive[:2]), (second, alive[2:])):
        assert [cost / goal.start for cost in goal.steps] == pytest.approx(shares, abs=1e-4)
        assert goal.reached == shares[-1] * goal.start and bool(goal.missed) == (goal.reached > goal.wanted)
    assert (result.start, result.wanted, result.reached) == (whole, 0.6 * whole, trainer.space.cost(steps[4][0]))
    assert {(goal.cost, goal.unit) for goal in (first, second, result)} == {('macs', 'multiply-adds')}


def test_a_round_that_runs_has_missed_nothing_yet(config, tmp_path):
    trainer = trainer_of(config, tmp_path, target=dict(type='latency', peak=8.1e12, bandwidth=3e11))
    seed = trainer.space.seed()
    begun, result = trainer.cost_goals([seed])
    assert begun.reached == begun.start == trainer.space.cost(seed, trainer.target)
    assert (begun.missed, begun.unit, result.reached) == ('', 's', None)
    assert trainer.cost_goals([])[0].reached is None


def test_it_conforms_killed_or_not(config):
    check_trainer(lambda folder: trainer_of(copy.deepcopy(config), folder))


def test_a_round_that_comes_to_rest_ends_early_and_is_counted_so(config, tmp_path):
    steps = Steps()
    trainer = trainer_of(config, tmp_path, rounds=1, epochs=4, strength=1e-9, goal=0.999, gamma_threshold=2.0,
                         patience=1)
    assert trainer.steps == 5
    trainer.run(steps)
    assert list(steps.taken) == [0, 1] and trainer.steps == 2 and trainer.images == IMAGES
    assert json.loads((tmp_path / 'training' / 'round-1' / 'result.json').read_text())['epochs'] == 1
    assert set(steps.taken[0][0].value['widths'].values()) == {1}       # of each group one channel stays


def test_a_training_that_cannot_shrink_says_where(config, tmp_path):
    config.model.backbone.norm_cfg = dict(type='BN', requires_grad=False)
    with pytest.raises(SearchError, match=r'round-1 failed: MorphNet: none of the \d+ groups of channels can shrink'):
        trainer_of(config, tmp_path).run(Steps())


@pytest.mark.parametrize('thresholds, words', [
    (dict(gamma_threshold=1e-6), 'no channel died'),
    (dict(gamma_threshold=0.97), r'the goal was missed: the alive channels cost \d+\.\d % of the network, not 1\.0 %')])
def test_a_round_that_misses_its_goal_says_so(config, tmp_path, caplog, thresholds, words):
    trainer = trainer_of(config, tmp_path, rounds=1, goal=0.01, **thresholds)
    trainer.run(Steps())
    said = [entry.getMessage() for entry in caplog.records
            if entry.name == 'nasdet.trainers.morphnet' and entry.levelno == logging.WARNING]
    assert len(said) == 1 and re.search(f'round 1: {words}', said[0])
    assert trainer.cost_goals([])[0].missed == said[0]


def test_structure_learning_has_a_constant_rate_and_no_decay_of_norm_layers(config):
    config.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=5),
                              dict(type='MultiStepLR', milestones=[1])]
    config.optim_wrapper.paramwise_cfg = dict(bias_lr_mult=2.0)
    changed, left_out = structure_learning(config, dict(type='SGD', lr=0.5))
    assert left_out == ['MultiStepLR']
    assert changed.optim_wrapper.optimizer == dict(type='SGD', lr=0.5)
    assert [scheduler.type for scheduler in changed.param_scheduler] == ['LinearLR']
    assert changed.optim_wrapper.paramwise_cfg == dict(bias_lr_mult=2.0, norm_decay_mult=0.0)
    assert len(config.param_scheduler) == 2
    assert structure_learning(config, None)[0].optim_wrapper.optimizer == config.optim_wrapper.optimizer


def test_a_rate_that_falls_and_averaged_weights_are_left_out_and_said(config, tmp_path, caplog):
    """The weights that are trained and those that are averaged would have other dead channels."""
    caplog.set_level(logging.INFO, logger='nasdet.trainers.morphnet')
    config.param_scheduler = [dict(type='LinearLR', start_factor=1.0, end_factor=0.01, begin=0, end=2)]
    config.custom_hooks = [dict(type='EMAHook'), dict(type='ReseedHook')]
    changed, left_out = structure_learning(config, None)
    assert left_out == ['LinearLR', 'EMAHook']
    assert (changed.param_scheduler, [hook.type for hook in changed.custom_hooks]) == ([], ['ReseedHook'])
    trainer_of(config, tmp_path, rounds=1).run(Steps())
    said = [entry.getMessage() for entry in caplog.records if entry.name == 'nasdet.trainers.morphnet']
    assert said[0].endswith('this training goes without LinearLR, EMAHook')


def test_the_default_is_to_wait_until_the_widths_rest(config, tmp_path):
    assert MorphNetTrainer(WidthSpace(config.model, (3, 8, 8)), config, tmp_path).shrinking['patience'] == 3


def test_what_is_handed_on_computes_what_the_network_without_its_dead_channels_did(config, undisturbed):
    """The dead channels' constants are folded: without that, the slice is further away."""
    folder, _ = undisturbed
    trainer = trainer_of(config, folder)
    source = trainer._build(trainer._seeds()[-2])
    source.load_state_dict(torch.load(folder / 'training' / 'round-2' / 'weights.pth', weights_only=True)['state_dict'])
    source.eval()
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, 0.0, 0.5, generator=torch.Generator().manual_seed(0))
    narrow = {name: max(1, width * 3 // 4) for name, width in trainer._seeds()[-2].value['widths'].items()}
    target = trainer._build(Genotype('WidthSpace', dict(widths=narrow))).eval()
    graphs = [trace_channels(network, (3, 8, 8)) for network in (target, source)]
    origin = choose_origin(*graphs, Importance(source, graphs[1])().detach())
    image, silent = torch.randn(2, 3, 256, 256), copy.deepcopy(source)
    with torch.no_grad():
        for name, layer in graphs[1].layers.items():
            if layer.follows:
                silent.get_submodule(name).weight[~torch.isin(layer.outputs, origin)] = 0
        expected = silent(image)
        inherit_weights(target, graphs[0], source, graphs[1], origin)
        plain = (target(image) - expected).abs().mean()
        hand_on(source, target, (3, 64, 64))
        assert (target(image) - expected).abs().mean() < 0.8 * plain


def test_it_is_built_from_a_config_with_the_searchs_seed(config, tmp_path):
    space = WidthSpace(config.model, (3, 8, 8))
    trainer = build(TRAINERS, dict(type='MorphNetTrainer', epochs=3), dict(seed=8), space=space, config=config,
                    work_dir=tmp_path)
    trainer.check()
    assert (trainer.seed, trainer.steps) == (8, 4)


@pytest.mark.parametrize('changes, words', [
    (dict(rounds=0), 'rounds is at least 1, not 0'), (dict(goal=1.0), 'goal is the share of its cost'),
    (dict(target='watts'), 'MorphNet knows the targets'), (dict(target='latency'), "give it a device's figures"),
    (dict(budget=1e-9), 'more than the budget')])
def test_refuses_what_makes_no_search(config, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        trainer_of(config, tmp_path, **changes).check()
