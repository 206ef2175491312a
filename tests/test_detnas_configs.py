"""What DetNAS's configs say twice, because a step of the method is a command of its own, is the same."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from nasdet.config import load_config
from nasdet.models.genotypes import genotype_value
from nasdet.models.meta import build_on_meta
from nasdet.registry import SPACES, build
from nasdet.training.paths import build_sampler

CONFIGS = Path(__file__).parents[1] / 'configs' / 'detnas'


def read(name):
    return load_config(str(CONFIGS / f'{name}.py'))


def source(backbone):
    """Return the name of the config whose training writes the weights that a backbone starts from."""
    folder, name = Path(backbone.init_cfg.checkpoint).parts[-3:-1]
    assert folder == 'work_dirs'
    return name


@pytest.mark.parametrize('name', [path.stem for path in sorted(CONFIGS.glob('*_1x_coco.py'))])
def test_a_detector_starts_from_an_imagenet_training_of_its_own_genotype(name):
    backbone = read(name).model.backbone
    trained = read(source(backbone)).model.backbone
    assert genotype_value(trained.genotype) == genotype_value(backbone.genotype)


@pytest.mark.parametrize('detector', ['retinanet', 'faster_rcnn'])
def test_the_supernet_trained_by_itself_is_the_searchs(detector):
    alone, search = read(f'{detector}_300m_coco_supernet'), read(f'{detector}_300m_coco_evolution')
    space = build(SPACES, search.search.space)
    expected = space.supernet(search.model)
    for name, part in expected.items():
        if name not in ('backbone', 'data_preprocessor'):
            assert alone.model[name] == part, name
    assert {**expected.data_preprocessor, 'rgb_to_bgr': None} == {**alone.model.data_preprocessor, 'rgb_to_bgr': None}
    assert alone.model.backbone.init_cfg == expected.backbone.init_cfg
    built, wanted = (build_on_meta(backbone) for backbone in (alone.model.backbone, expected.backbone))
    assert (built.settings, built.choices, built.network) == (wanted.settings, wanted.choices, wanted.network)
    assert [(name, tensor.shape) for name, tensor in built.state_dict().items()] == [
        (name, tensor.shape) for name, tensor in wanted.state_dict().items()]
    assert alone.optim_wrapper == search.optim_wrapper and alone.param_scheduler == search.param_scheduler
    hook = build(SPACES, alone.custom_hooks[0].space)
    assert (hook.channels, hook.blocks, hook.vocab) == (space.channels, space.blocks, space.vocab)


@pytest.mark.parametrize('name', ['supernet_300m_imagenet_pretrain', 'supernet_1300m_imagenet_pretrain'])
def test_the_pretrained_supernet_holds_the_paths_that_its_hook_draws(name):
    config = read(name)
    space = build(SPACES, config.custom_hooks[0].space)
    derived = space.supernet(dict(type='ImageClassifier', backbone={})).backbone
    assert {key: derived[key] for key in ('stem_channels', 'stages')} == {
        key: config.model.backbone[key] for key in ('stem_channels', 'stages')}


def test_the_binned_sampling_that_a_comment_offers_draws_paths():
    text = (CONFIGS / 'supernet_300m_imagenet_pretrain.py').read_text()
    line = next(line for line in text.splitlines() if line.startswith('#     sampling='))
    sampling = Config.fromstring(line.removeprefix('#').strip(), '.py').sampling
    config = read('supernet_300m_imagenet_pretrain')
    space = build(SPACES, config.custom_hooks[0].space)
    sampler = build_sampler(sampling, space, config.model)
    drawn = [sampler.cost(sampler(np.random.default_rng(seed))) for seed in range(20)]
    assert min(drawn) >= 290e6 and max(drawn) < 360e6 and max(drawn) - min(drawn) > 30e6
