"""Every config of the repository is built, and takes one step of its loss on small pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

import nasdet.models  # noqa: F401 - registers the networks
from nasdet.config import load_config
from nasdet.registry import SPACES, build
from nasdet.training import searched_modules

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)


def networks(config):
    """Yield the config's model and, where a search would train one, its supernet with a path set."""
    space = build(SPACES, config.search.space) if 'search' in config else None
    if space is not None and space.can('supernet'):
        supernet = MODELS.build(space.supernet(config.model))
        genotype = space.sample(np.random.default_rng(0))
        for module in searched_modules(supernet).values():
            module.set_path(genotype.plain())
        yield supernet
    yield MODELS.build(config.model)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_config_takes_a_loss_step(path):
    config = load_config(str(path))
    init_default_scope('mmdet')
    for model in networks(config):
        if config.model.type == 'ImageClassifier':
            pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
            data = dict(inputs=pictures, data_samples=torch.tensor([0, 1]))
        else:
            data = demo_mm_inputs(2, [(3, 128, 128), (3, 96, 64)], num_classes=config.model.bbox_head.num_classes)
        losses = model(**model.data_preprocessor(data, training=True), mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
        assert torch.isfinite(total) and any(weight.grad is not None for weight in model.parameters())
