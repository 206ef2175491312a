"""Every config of the repository is built, and takes one step of its loss on small pictures; giants run on shapes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

import nasdet.registry
from nasdet.config import load_config
from nasdet.models.meta import build_on_meta, run_on_meta
from nasdet.registry import SPACES
from nasdet.training import set_path

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)


GIANT = 15e6        # parameters


def networks(config, build):
    """Yield the config's model and, where a search would train one, its supernet with a path set."""
    space = nasdet.registry.build(SPACES, config.search.space) if 'search' in config else None
    if space is not None and space.can('supernet'):
        supernet = build(space.supernet(config.model))
        genotype = space.sample(np.random.default_rng(0))
        set_path(supernet, space, genotype)
        yield supernet
    yield build(config.model)


def batch(model) -> dict:
    """Return two pictures as the config's model takes them."""
    if model.type == 'ImageClassifier':
        return dict(inputs=torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), data_samples=torch.tensor([0, 1]))
    head = model.get('bbox_head') or model.roi_head.bbox_head
    return demo_mm_inputs(2, [(3, 128, 128), (3, 96, 64)], num_classes=head.num_classes)


def is_giant(model) -> bool:
    return sum(weight.numel() for weight in build_on_meta(model).parameters()) > GIANT


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_config_takes_a_loss_step(path):
    config = load_config(str(path))
    init_default_scope('mmdet')
    if is_giant(config.model):
        for model in networks(config, build_on_meta):
            maps = [scores for scores, *_ in zip(*run_on_meta(model, (3, 128, 128)), strict=True)]
            assert [scores.shape[-1] for scores in maps] == [16, 8, 4, 2, 1]
        return
    for model in networks(config, MODELS.build):
        losses = model(**model.data_preprocessor(batch(config.model), training=True), mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
        assert torch.isfinite(total) and any(weight.grad is not None for weight in model.parameters())
