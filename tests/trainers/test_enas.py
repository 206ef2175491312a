"""ENAS's trainer: what it records, scores and resumes."""

import copy

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config, ConfigDict

from nasdet.config import load_config
from nasdet.datasets import prepare
from nasdet.errors import SearchError
from nasdet.registry import TRAINERS, build
from nasdet.search.trained import TrainedSearch
from nasdet.spaces import ENASMicroSpace
from nasdet.testing import check_trainer
from nasdet.trainers import ENASTrainer
from nasdet.training import set_path
from tests.classifiers import TinySpace, write_config

SMALL = dict(epochs=2, controller_steps=2, samples=3, candidates=3, seed=5,
             controller=dict(attention='micro', hidden=8))
IMAGES, BATCH = 48, 16


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepared')
    data = dict(type='HandwrittenDigits', size=8, train_size=IMAGES, val_size=BATCH, test_size=BATCH)
    config = Config.fromfile(str(write_config(folder / 'tiny.py', data=data)))
    config.train_dataloader.dataset.transforms = [dict(type='RandomCrop', size=8, padding=1)]
    config.custom_hooks = []
    config.model = ConfigDict(
        type='ImageClassifier', data_preprocessor=config.model.data_preprocessor,
        backbone=dict(type='CellNetwork', num_cells=(1, 1), width=2, num_classes=10, dropout=0.1))
    config = prepare(config, folder)
    config.pop('search')
    return config


@pytest.fixture
def config(prepared):
    return copy.deepcopy(prepared)


def space():
    return ENASMicroSpace(2, ('sep3', 'max3', 'id'))


class Steps:
    """Takes what is recorded; ends like a killed process at a step, before it is taken."""

    def __init__(self, kill_at=None):
        self.kill_at, self.taken = kill_at, {}

    def __call__(self, number, genotype, evaluation, candidate=False):
        if number == self.kill_at:
            raise Killed
        self.taken.setdefault(number, (genotype, evaluation.metrics, evaluation.fidelity, candidate))


def train(config, folder, steps=None, **options):
    steps = steps or Steps()
    ENASTrainer(space(), config, folder, **{**SMALL, **options}).run(steps)
    return steps.taken


@pytest.fixture(scope='module')
def undisturbed(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    return folder, train(copy.deepcopy(prepared), folder)


def trained(folder):
    return torch.load(folder / 'training' / 'weights.pth', weights_only=True)


def test_epochs_are_shown_and_candidates_compete(config, undisturbed):
    folder, steps = undisturbed
    trainer = ENASTrainer(space(), config, folder, **SMALL)
    assert list(steps) == list(range(trainer.steps)) == list(range(5))
    assert [candidate for *_, candidate in steps.values()] == [False, False, True, True, True]
    for number, (genotype, metrics, fidelity, candidate) in steps.items():
        space().check(genotype)
        assert set(metrics) == set(trainer.metric_names) and fidelity['images'] == BATCH
        if not candidate:
            assert fidelity['epochs'] == number + 1 and 0 <= fidelity['sampled_accuracy'] <= 1
    assert trainer.images == 2 * IMAGES
    assert sorted(path.name for path in (folder / 'training').iterdir()) == ['log.txt', 'scores.json', 'weights.pth']


def test_a_candidates_score_is_the_accuracy_on_search_val_with_its_own_statistics(config, undisturbed):
    folder, steps = undisturbed
    model = MODELS.build(space().supernet(config.model))
    model.load_state_dict(trained(folder)['state_dict'], strict=True)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    images = torch.stack([dataset[index]['inputs'] for index in range(BATCH)]).float()
    labels = torch.tensor(dataset.labels)
    mean, std = (torch.tensor(config.model.data_preprocessor[name])[:, None, None] for name in ('mean', 'std'))
    for genotype, metrics, _, candidate in steps.values():
        if candidate:
            set_path(model, space(), genotype)
            with torch.no_grad():
                logits = model.eval().backbone((images - mean) / std)
            assert metrics['accuracy/top1'] == (logits.argmax(1) == labels).double().mean().item()


def test_the_controller_learns(config, undisturbed):
    folder, _ = undisturbed
    state = trained(folder)
    start = ENASTrainer(space(), config, folder, **SMALL).policy
    assert any(not torch.equal(tensor, start.controller.state_dict()[name])
               for name, tensor in state['meta']['policy']['controller'].items())
    assert state['meta']['policy']['average'] > 0
    assert state['meta']['policy']['optimizer']['state'][0]['step'] == 4       # of two epochs, two each


def test_it_conforms_killed_or_not(config):
    check_trainer(lambda folder: ENASTrainer(space(), copy.deepcopy(config), folder, **SMALL))


def test_a_killed_training_ends_with_the_same_weights_and_controller(config, undisturbed, tmp_path):
    with pytest.raises(Killed):
        train(config, tmp_path, Steps(kill_at=1))
    train(config, tmp_path)
    ours, theirs = trained(tmp_path), trained(undisturbed[0])
    assert all(torch.equal(tensor, theirs['state_dict'][name]) for name, tensor in ours['state_dict'].items())
    assert all(torch.equal(tensor, theirs['meta']['policy']['controller'][name])
               for name, tensor in ours['meta']['policy']['controller'].items())
    assert ours['meta']['policy']['average'] == theirs['meta']['policy']['average']


def test_candidates_that_were_scored_are_not_scored_again(config, undisturbed, tmp_path, monkeypatch):
    folder, steps = undisturbed
    trainer = ENASTrainer(space(), config, folder, **SMALL)
    monkeypatch.setattr(trainer, 'score', lambda *_: pytest.fail('scored again'))
    again = Steps()
    trainer.run(again)
    assert again.taken == {number: step for number, step in steps.items() if step[-1]}


def test_another_seed_is_another_search(config, undisturbed, tmp_path):
    assert train(config, tmp_path, seed=6) != undisturbed[1]


def test_it_is_built_from_a_config_with_the_searchs_seed(config, tmp_path):
    cfg = dict(type='ENASTrainer', epochs=3, controller=dict(hidden=7, tanh=dict(op=0.44)))
    trainer = build(TRAINERS, cfg, dict(seed=8), space=space(), config=config, work_dir=tmp_path)
    trainer.check()
    assert trainer.seed == 8 and trainer.policy.controller.lstm.hidden_size == 7
    again = build(TRAINERS, cfg, dict(seed=8), space=space(), config=config, work_dir=tmp_path)
    assert trainer.fingerprint == again.fingerprint
    first, second = (each.policy.controller.embedding.weight for each in (trainer, again))
    assert torch.equal(first, second)


def test_it_learns_from_top1_and_can_have_no_other_objective(tmp_path, repo_root):
    config = load_config(str(repo_root / 'configs' / 'enas' / 'enas_micro_digits_search.py'))
    config.search.objective = 'accuracy/top5'
    with pytest.raises(SearchError, match='ENASTrainer learns from accuracy/top1, so search.objective can be nothing '
                                          'else, not accuracy/top5'):
        TrainedSearch.from_cfg(config, str(tmp_path))


@pytest.mark.parametrize('changes, words', [
    (dict(samples=0), 'samples is at least 1, not 0'), (dict(candidates=0), 'candidates is at least 1')])
def test_refuses_numbers_below_one(config, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        ENASTrainer(space(), config, tmp_path, **{**SMALL, **changes}).check()


def test_refuses_what_it_cannot_score(config, tmp_path):
    config.train_dataloader.batch_size = BATCH + 1
    with pytest.raises(ValueError, match='16 images, fewer than a batch of 17'):
        ENASTrainer(space(), config, tmp_path, **SMALL).check()
    config.train_dataloader.batch_size = BATCH - 1
    with pytest.raises(ValueError, match='would hold one image'):
        ENASTrainer(space(), config, tmp_path, **SMALL).check()
    config.model = ConfigDict(type='ImageClassifier', num_classes=10, in_channels=8, backbone=dict())
    with pytest.raises(ValueError, match='TinySpace keeps running ones'):
        ENASTrainer(TinySpace(), config, tmp_path, epochs=1).check()
