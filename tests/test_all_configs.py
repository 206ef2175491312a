"""Every config of the repository is built, and takes one step of its loss on small pictures; giants run on shapes."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models import TwoStageDetector
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

import nasdet.registry
from nasdet.config import load_config
from nasdet.models.classifiers import ImageClassifier
from nasdet.models.meta import build_on_meta, check_channels, run_on_meta
from nasdet.registry import SPACES
from nasdet.training import set_path

ROOT = Path(__file__).parents[1]
# Those of the folders small/ are run whole in tests/end_to_end.
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if not {'small', '_base_'} & set(path.parts))
GIANT = 15e6        # parameters


def networks(config, build):
    """Yield the config's model and, where a search would train one, its supernet or relaxation; with a path set."""
    space = nasdet.registry.build(SPACES, config.search.space) if 'search' in config else None
    if space is not None and space.can('supernet'):
        yield on_a_path(build(space.supernet(config.model)), space)
    if space is not None and space.can('relaxed'):
        yield build(space.relaxed(config.model))
    model = build(config.model)
    for hook in config.get('custom_hooks', []):
        if hook.type == 'PathSamplingHook':
            on_a_path(model, nasdet.registry.build(SPACES, hook.space))
    if 'space' in config.train_cfg:     # of a SandwichTrainLoop
        on_a_path(model, nasdet.registry.build(SPACES, config.train_cfg.space))
    yield model


def on_a_path(supernet, space):
    set_path(supernet, space, space.sample(np.random.default_rng(0)))
    return supernet


def batch(model) -> dict:
    """Return two pictures as the config's model takes them."""
    if model.type == 'ImageClassifier':
        return dict(inputs=torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), data_samples=torch.tensor([0, 1]))
    head = model.get('bbox_head') or model.roi_head.bbox_head
    return demo_mm_inputs(2, [(3, 128, 128), (3, 96, 64)], num_classes=head.num_classes)


def is_giant(model) -> bool:
    return sum(weight.numel() for weight in build_on_meta(model).parameters()) > GIANT


def check_shapes(model, classes) -> None:
    """Run a giant on shapes only, but for the regions of a two-stage detector."""
    if isinstance(model, TwoStageDetector):
        check_channels(model, (3, 128, 128))
        return
    outputs = run_on_meta(model, (3, 128, 128))
    if isinstance(model, ImageClassifier):
        assert outputs.shape == (1, classes)
    else:
        assert [scores.shape[-1] for scores, *_ in zip(*outputs, strict=True)] == [16, 8, 4, 2, 1]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_config_takes_a_loss_step(path):
    config = load_config(str(path))
    init_default_scope('mmdet')
    if is_giant(config.model):
        for model in networks(config, build_on_meta):
            check_shapes(model, config.model.backbone.get('num_classes', 1000))
        return
    for model in networks(config, MODELS.build):
        losses = model(**model.data_preprocessor(batch(config.model), training=True), mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
        assert torch.isfinite(total) and any(weight.grad is not None for weight in model.parameters())


def bases_of(path) -> list[str]:
    """Return what a config names in ``_base_``."""
    named = [node.value for node in ast.parse(path.read_text()).body
             if isinstance(node, ast.Assign) and node.targets[0].id == '_base_']
    found = ast.literal_eval(named[0]) if named else []
    return [found] if isinstance(found, str) else found


def test_a_folder_of_configs_is_based_on_itself_and_the_common_ones():
    """CI runs the searches of the folders that have changed."""
    folder, named = ROOT / 'configs', 0
    for path in folder.rglob('*.py'):
        for base in bases_of(path):
            if '::' not in base:
                named += 1
                assert (path.parent / base).resolve().relative_to(folder).parts[0] in ('_base_', method_of(path)), path
    assert named > 100


def method_of(path) -> str:
    return path.relative_to(ROOT / 'configs').parts[0]
