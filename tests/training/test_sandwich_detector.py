"""The sandwich step of a detector: ground truth for every child, and the largest child's outputs for the others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from nasdet.models.layers.elastic import part_of
from nasdet.training import SandwichTrainLoop, check_sandwich, extracted_state, sandwich_step, set_path
from tests.training.detectors import SIZE, by_hand, elastic_space, small_retinanet

RATE = 0.01


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope('mmdet')


def supernet(space):
    """Return a supernet whose largest child scores some anchors above 0.05, and most below."""
    torch.manual_seed(0)
    model = MODELS.build(space.supernet(small_retinanet())).train()
    model.init_weights()
    torch.nn.init.constant_(model.bbox_head.retina_cls.bias, -5.0)
    torch.nn.init.normal_(model.bbox_head.retina_cls.weight, std=0.3)
    torch.nn.init.normal_(model.bbox_head.retina_reg.weight, std=0.3)
    return model


def batch():
    return demo_mm_inputs(2, [(3, SIZE, SIZE), (3, SIZE, SIZE - 8)], num_classes=3, use_box_type=True)


def children_of(space):
    drawn = {f'random{seed}': space.sample(np.random.default_rng(seed)) for seed in (1, 2)}
    return dict(largest=space.largest(), smallest=space.smallest(), **drawn)


def gradients_of_extracts(shared, space, children, data):
    """Return losses, and the sum, in the shapes of the supernet, of the gradients of each child as its own detector."""
    total = {name: torch.zeros_like(parameter) for name, parameter in shared.named_parameters()}
    teacher, losses = None, {}
    for name, genotype in children.items():
        child = MODELS.build(space.apply(genotype, small_retinanet())).train()
        child.load_state_dict(extracted_state(shared, space, genotype))
        inputs = child.data_preprocessor(data, True)
        outputs = child.bbox_head(child.extract_feat(inputs['inputs']))
        of_labels = child(**inputs, mode='loss')
        losses[name] = sum(of_labels['loss_cls']) + sum(of_labels['loss_bbox'])
        if teacher is None:
            teacher = [[level.detach() for level in kind] for kind in outputs]
        else:
            taught, number = by_hand(outputs, teacher, anchors=3)
            assert 0 < number < 0.5 * sum(level.numel() for level in teacher[0]) / 3
            losses[name] = losses[name] + taught
        losses[name].backward()
        for key, parameter in child.named_parameters():
            part_of(total[key], parameter.shape).add_(parameter.grad)
    return total, losses


def test_the_step_is_one_step_along_the_sum_of_the_childrens_gradients():
    space = elastic_space(backbone=dict(zero_init_residual=False))
    model, data, children = supernet(space), batch(), children_of(space)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    total, losses = gradients_of_extracts(model, space, children, data)
    assert min(gradient.abs().max() for gradient in total.values()) > 0     # every weight has a part in it
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=RATE))
    shown = sandwich_step(model, space, children, data, wrapper)
    for name, loss in losses.items():
        torch.testing.assert_close(shown[name], loss.detach(), rtol=1e-4, atol=1e-6)
    for name, parameter in model.named_parameters():
        step = (before[name] - parameter.detach()) / RATE
        torch.testing.assert_close(step, total[name], rtol=2e-3, atol=2e-4 * total[name].abs().max().item() + 1e-5)


def test_the_same_annotations_serve_every_child():
    """The same child four times has the same loss four times, but for what the first teaches."""
    space = elastic_space()
    model, child = supernet(space), space.largest()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=RATE))
    shown = sandwich_step(model, space, dict(a=child, b=child, c=child), batch(), wrapper)
    assert shown['b'] == shown['c'] > shown['a']


def sandwich_loop(model, space):
    return SandwichTrainLoop(SimpleNamespace(model=model, cfg=Config(), seed=0), DataLoader([None]), 1, space=space)


def test_batch_norm_of_backbone_neck_and_head_keeps_no_averages():
    space = elastic_space()
    model = supernet(space)
    children = sandwich_loop(model, space).children(0)
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if 'running' in name}
    assert {name.partition('.')[0] for name in before} == {'backbone', 'neck', 'bbox_head'}
    sandwich_step(model, space, children, batch(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=RATE)))
    assert all(torch.equal(dict(model.named_buffers())[name], buffer) for name, buffer in before.items())


def test_the_children_of_a_step_see_images_of_one_size():
    space = elastic_space(resolution=[48, SIZE])
    model, shapes = supernet(space), []
    model.backbone.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape[2:])))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=RATE))
    loop = sandwich_loop(model, space)
    steps = [loop.children(iteration) for iteration in range(8)]
    sizes = [{child.value['resolution'] for child in children.values()} for children in steps]
    assert all(len(size) == 1 for size in sizes) and {48} in sizes and {SIZE} in sizes
    assert [loop.children(iteration) for iteration in (5, 6)] == steps[5:7]     # as after a resume
    for children, size in zip(steps[:3], sizes, strict=False):
        shapes.clear()
        sandwich_step(model, space, children, batch(), wrapper)
        assert shapes == [(*size, *size)] * 4


def test_drop_path_is_for_the_largest_child_alone():
    space = elastic_space(backbone=dict(drop_path=0.3), resolution=[48, SIZE])
    model = supernet(space)
    rates = {}
    for name, genotype in space.at_one_size(children_of(space), np.random.default_rng(0)).items():
        set_path(model, space, genotype)
        rates[name] = max(block.drop_prob for stage in model.backbone.stages for block in stage)
    assert rates.pop('largest') > 0 and set(rates.values()) == {0.0}


def test_a_two_stage_detector_is_refused(repo_root):
    model = Config.fromfile(str(repo_root / 'configs/_base_/models/faster_rcnn_r18_small.py')).model
    with pytest.raises(ValueError, match=r'not for a FasterRCNN \(the box head of a two-stage detector reads other'):
        check_sandwich(elastic_space(), model)
