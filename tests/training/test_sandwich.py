"""The sandwich step: its gradients are the sum of what its children give alone, and it is one step."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from nasdet.datasets import prepare
from nasdet.estimators import SupernetEstimator
from nasdet.genotype import Genotype
from nasdet.models.layers.elastic import part_of
from nasdet.spaces import ElasticSpace
from nasdet.testing import check_estimator
from nasdet.training import SandwichTrainLoop, check_sandwich, sandwich_step, set_path
from tests.classifiers import TinySpace, write_config
from tests.models.backbones.mbconv_helpers import mbconv_choices
from tests.training.toys import BlockSpace

CLASSES = 4
RATE = 0.1


def elastic_space(semantics='attentivenas', resolution=(24, 32), **head):
    choices = mbconv_choices(semantics, list(resolution))
    choices['stages'] = choices['stages'][:2]
    return ElasticSpace(**choices, backbone=dict(head=True, num_classes=CLASSES, **head))


def classifier(space):
    """Return a supernet in float64, and what it is given as it is."""
    torch.manual_seed(0)
    model = ConfigDict(type='ImageClassifier', backbone=dict(), label_smoothing=0.1,
                       data_preprocessor=dict(type='BaseDataPreprocessor'))
    return MODELS.build(space.supernet(model)).double().train()


def batch():
    generator = torch.Generator().manual_seed(0)
    return dict(inputs=torch.rand(6, 3, 32, 32, dtype=torch.float64, generator=generator),
                data_samples=torch.tensor([0, 1, 2, 3, 0, 1]))


def children_of(space):
    """Return children of which one has a wider stem than first stage, and so the convolution of that shortcut."""
    narrowing = {**space.smallest().plain(), 'stem_channels': 16}
    return dict(largest=space.largest(), smallest=space.smallest(), random1=Genotype(space.name, narrowing),
                random2=space.sample(np.random.default_rng(0)))


def gradients_of_extracts(model, children, data):
    """Return the sum, in the shapes of the supernet, of the gradients that each child gives as a network of its own."""
    total = {name: torch.zeros_like(parameter) for name, parameter in model.backbone.named_parameters()}
    teacher, losses = None, {}
    for name, genotype in children.items():
        child = model.backbone.extract(genotype.plain())
        logits = child(data['inputs'])
        log_probabilities = logits.log_softmax(dim=1)
        if teacher is None:
            teacher = logits.detach().softmax(dim=1)
            targets = F.one_hot(data['data_samples'], CLASSES) * 0.9 + 0.1 / CLASSES
        else:
            targets = teacher
        losses[name] = -(targets * log_probabilities).sum(dim=1).mean()
        losses[name].backward()
        for key, parameter in child.named_parameters():
            part_of(total[key], parameter.shape).add_(parameter.grad)
    return total, losses


@pytest.mark.parametrize('semantics', ['efficientnet', 'attentivenas'])
def test_the_step_is_one_step_along_the_sum_of_the_childrens_gradients(semantics):
    space = elastic_space(semantics, dropout=0.0)
    model, data, children = classifier(space), batch(), children_of(space)
    before = {name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()}
    total, losses = gradients_of_extracts(model, children, data)
    assert min(gradient.abs().max() for gradient in total.values()) > 0     # every weight has a part in it
    largest = max(gradient.abs().max() for gradient in total.values())
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=RATE))
    shown = sandwich_step(model, space, children, data, wrapper)
    for name, parameter in model.backbone.named_parameters():
        step = (before[name] - parameter.detach()) / RATE
        assert (step - total[name]).abs().max() < 1e-6 * largest, name      # losses are computed in float32
        assert parameter.grad is None
    for name, loss in losses.items():
        torch.testing.assert_close(shown[name].double(), loss.detach(), rtol=1e-6, atol=0)
    assert shown['loss'] == shown['largest'] + shown['smallest'] + shown['random1'] + shown['random2']


def loop(space, config=None, seed=0, **options):
    model = build_supernet(space)
    runner = SimpleNamespace(model=model, cfg=Config(config or {}), seed=seed)
    return SandwichTrainLoop(runner, DataLoader([None]), 1, space=space, **options)


def build_supernet(space):
    with torch.device('meta'):
        return MODELS.build(space.supernet(ConfigDict(type='ImageClassifier', backbone=dict())))


def test_children_follow_from_seed_and_iteration_alone():
    space = elastic_space()
    first = [loop(space).children(iteration) for iteration in range(5)]
    assert [loop(space, seed=3).children(iteration) for iteration in range(5)] != first
    again = loop(space)
    assert [again.children(iteration) for iteration in (3, 4)] == first[3:]     # as after a resume
    assert list(first[0]) == ['largest', 'smallest', 'random1', 'random2']
    assert all(children['largest'] == space.largest() and children['smallest'] == space.smallest()
               for children in first)
    assert len({children[name] for children in first for name in ('random1', 'random2')}) > 5
    assert list(loop(space, random_children=0).children(0)) == ['largest', 'smallest']


def test_refuses_what_it_cannot_train():
    space = elastic_space()
    with pytest.raises(ValueError, match='BlockSpace has no smallest'):
        check_sandwich(BlockSpace(), build_supernet(space))
    with pytest.raises(ValueError, match='here for classifiers .* not for a Linear'):
        check_sandwich(space, torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match='leave accumulative_counts out of optim_wrapper'):
        loop(space, dict(optim_wrapper=dict(accumulative_counts=4)))


def prepared(tmp_path):
    config = Config.fromfile(str(write_config(tmp_path / 'tiny.py')))
    config.model = ConfigDict(type='ImageClassifier', backbone=dict(type='MBConvNet', head=True, num_classes=1),
                              data_preprocessor=config.model.data_preprocessor)
    config = prepare(config, tmp_path)
    config.pop('search')
    return config


def test_a_supernet_is_trained_by_it_and_its_children_are_scored(tmp_path):
    config, space = prepared(tmp_path), elastic_space(resolution=(12, 16))
    options = dict(epochs=2, recalibration_images=33, train_threads=1, sandwich=dict(random_children=1))
    assert config.model.backbone.num_classes == 10
    space.backbone.pop('num_classes')
    estimator = SupernetEstimator(space, config, tmp_path, **options)
    check_estimator(estimator, space.smallest())
    text = (tmp_path / 'supernet' / 'log.txt').read_text()
    assert 'smallest: ' in text and 'random1: ' in text and 'random2: ' not in text
    supernet, genotype = estimator.scorer.model, space.sample(np.random.default_rng(0))
    assert set(name for name, buffer in supernet.backbone.named_buffers() if buffer.abs().max() > 0) == {
        name for name, _ in supernet.backbone.named_buffers() if name.endswith('running_var')}
    set_path(supernet, space, genotype)
    assert estimator.weights(genotype, None, tmp_path / 'child.pth')
    child = MODELS.build(space.apply(genotype, config.model))
    child.load_state_dict(torch.load(tmp_path / 'child.pth', weights_only=True)['state_dict'], strict=True)


def test_the_estimator_refuses_spaces_and_models_that_it_is_not_for(tmp_path):
    config = prepared(tmp_path)
    with pytest.raises(ValueError, match='TinySpace has no smallest'):
        SupernetEstimator(TinySpace(), config, tmp_path, sandwich=dict()).check()
