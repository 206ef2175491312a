"""What cell genotypes are as networks: in the published skeletons, in MMDetection's models, and relaxed."""

import copy
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

from nasdet import zoo
from nasdet.config import load_config
from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.layers.cells import OPERATIONS
from nasdet.models.meta import build_on_meta, output_shapes
from nasdet.spaces import AmoebaNetSpace, DARTSSpace, ENASMicroSpace, NASNetSpace, PNASSpace, detector
from nasdet.testing import check_space

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
SPACES = {cls.__name__: cls for cls in (AmoebaNetSpace, DARTSSpace, ENASMicroSpace, NASNetSpace, PNASSpace)}
SKELETON = dict(num_cells=(1, 1, 1), width=8, stem='nasnet_imagenet', stem_channels=6)
PUBLISHED = [name for name in zoo.names() if zoo.load(name).space in SPACES]


def draw(space, seed=0):
    return space.sample(np.random.default_rng(seed))


def space_of(genotype):
    """The space that holds a published genotype: its dialect, and all operations."""
    dialect = {name: genotype.value[name] for name in ('inputs', 'strided_id', 'convs', 'pool_norm')}
    options = {'NASNetSpace': dict(concat='free'), 'AmoebaNetSpace': dict(concat='free', ops=tuple(OPERATIONS))}
    return SPACES[genotype.space](dialect=dialect, **options.get(genotype.space, {}))


@pytest.mark.parametrize('space', [NASNetSpace(concat='free', backbone=SKELETON), ENASMicroSpace(backbone=SKELETON),
                                   DARTSSpace(backbone=SKELETON)], ids=lambda space: space.name)
def test_a_genotype_and_its_canonical_form_are_the_same_network(space):
    """Both have weights of the same shapes, and with all of these equal, they map the same picture to the same sums."""
    images = torch.rand(1, 3, 48, 48, dtype=torch.float64)
    for seed in range(5):
        outputs = []
        for genotype in (draw(space, seed), space.canonical(draw(space, seed))):
            network = MODELS.build(dict(SKELETON, type='CellNetwork', genotype=genotype.plain(), out_indices=(3,)))
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.fill_(0.1)
                outputs.append(network.double().eval()(images)[0].sum())
        torch.testing.assert_close(*outputs, rtol=1e-9, atol=0)


# ---- published genotypes

@pytest.mark.parametrize('name', PUBLISHED)
def test_published_genotypes_lie_in_their_spaces(name):
    genotype = zoo.load(name)
    space = space_of(genotype)
    space.check(genotype)
    again = space.decode(space.encode(genotype))
    assert space.key(again) == space.key(genotype)


@pytest.mark.parametrize('name, space', [
    ('darts_v2_cifar', DARTSSpace()), ('enas_micro_cifar', ENASMicroSpace()), ('pnasnet_5_mobile', PNASSpace()),
    ('nasnet_a_4_1056', NASNetSpace(concat='free')), ('amoebanet_a_large', AmoebaNetSpace(concat='free'))])
def test_the_papers_spaces_hold_the_papers_cells(name, space):
    space.check(zoo.load(name))


@pytest.mark.parametrize('name', PUBLISHED)
def test_applied_to_the_published_skeleton_it_is_the_published_network(name):
    genotype, entry = zoo.load(name), zoo.entry(name)
    model = ConfigDict(type='ImageClassifier', backbone=dict(entry['network'], genotype='darts_v1_cifar'))
    applied = space_of(genotype).apply(genotype, model)
    assert applied.backbone == dict(entry['network'], genotype=genotype.plain())


@pytest.mark.parametrize('config, params, macs', [
    ('nasnet/nasnet_cifar10_ppo.py', 757_906, 136_390_272), ('pnas/pnas_cifar10_progressive.py', 559_090, 112_046_784),
    ('amoebanet/amoebanet_cifar10_evolution.py', 843_322, 139_349_760)])
def test_the_proxies_of_the_papers_searches(config, params, macs, repo_root):
    """Figures of the published cells in the small skeletons that the searches train."""
    backbone = load_config(str(repo_root / 'configs' / config)).model.backbone
    assert count(build_on_meta(backbone), (3, 32, 32)) == dict(params=params, macs=macs)


# ---- the bridge to MMDetection

@pytest.mark.parametrize('path', [
    'retinanet/retinanet_r50_fpn_1x_coco.py', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'yolox/yolox_s_8xb8-300e_coco.py'])     # the last neck reads three maps
def test_fits_the_detectors_of_mmdet(path):
    model = Config.fromfile(str(CONFIGS / path)).model
    space = ENASMicroSpace(backbone=SKELETON)
    space.check_model(model)
    check_space(space, np.random.default_rng(0), model, samples=1)
    before, genotype = copy.deepcopy(model), draw(space)
    applied = space.apply(genotype, model)
    number = len(before.neck.in_channels)
    shapes = output_shapes(applied.backbone, (3, 64, 96))
    assert list(applied.neck.in_channels) == [channels for channels, _, _ in shapes] and len(shapes) == number
    assert detector.backbone_strides(applied.backbone) == [4, 8, 16, 32][-number:]
    assert {**applied, 'neck': 0, 'backbone': 0} == {**before, 'neck': 0, 'backbone': 0}


def test_the_skeleton_may_be_that_of_the_models_own_backbone():
    own = dict(SKELETON, type='CellNetwork', genotype='nasnet_a_4_1056', num_classes=7, drop_path=0.2,
               init_cfg=[dict(type='Pretrained', checkpoint='x.pth')])
    model = ConfigDict(type='ImageClassifier', backbone=own)
    space = NASNetSpace(backbone=dict(width=12))
    applied = space.apply(draw(space), model)
    assert applied.backbone.width == 12 and applied.backbone.drop_path == 0.2 and 'init_cfg' not in applied.backbone
    assert applied.backbone.genotype == draw(space).plain()
    assert build_on_meta(applied).backbone.fc.out_features == 7
    space.check_model(model)


def test_a_classifiers_own_linear_layer_reads_the_last_map():
    model = ConfigDict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), num_classes=3, in_channels=512)
    space = PNASSpace(backbone=dict(SKELETON, stem='cifar'))
    genotype = draw(space)
    applied = space.apply(genotype, model)
    assert applied.backbone.out_indices == (3,)
    assert applied.in_channels == 4 * 8 * len(genotype.value['normal']['concat'])
    space.check_model(model)


def test_refuses_models_without_a_skeleton():
    model = ConfigDict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), num_classes=3, in_channels=512)
    with pytest.raises(ValueError, match='nothing says num_cells of the network: give the space backbone=dict'):
        NASNetSpace().check_model(model)
    for wrong, words in ((dict(num_cells=2), 'not 2'), (dict(width=4), 'at least 8'), (dict(stem='x'), "not 'x'")):
        with pytest.raises(ValueError, match=words):
            NASNetSpace(backbone={**SKELETON, **wrong}).check_model(model)


# ---- relaxed

def test_the_relaxation_has_the_skeleton_and_derives_genotypes_of_the_space():
    backbone = dict(type='CellNetwork', genotype='darts_v2_cifar', num_cells=(1, 1), width=4, num_classes=5,
                    auxiliary=True, drop_path=0.2, final_relu=False, norm_cfg=dict(type='BN'))
    model = ConfigDict(type='ImageClassifier', backbone=backbone)
    space = DARTSSpace(3, ops=('id', 'sep3'))
    network = MODELS.build(space.relaxed(model)).backbone
    assert model.backbone == backbone
    assert network.ops == ('none', 'id', 'sep3') and not network.final_relu
    assert {name: tuple(alpha.shape) for name, alpha in network.alphas.items()} == dict(normal=(9, 3), reduce=(9, 3))
    genotype = Genotype(space.name, network.derive())
    space.check(genotype, model)
    assert network.out_channels == MODELS.build(space.apply(genotype, model)).backbone.out_channels


def test_the_relaxation_as_a_detectors_backbone_feeds_its_neck():
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']", '.py').model
    skeleton = dict(num_cells=(1, 1, 1), width=8, stem='darts_imagenet')
    relaxed = DARTSSpace(backbone=skeleton).relaxed(model)
    assert relaxed.backbone.type == 'RelaxedCellNetwork'
    assert relaxed.neck.in_channels == DARTSSpace(backbone=skeleton).apply(
        DARTSSpace().sample(np.random.default_rng(0)), model).neck.in_channels
    with pytest.raises(ValueError, match='trains all of the backbone: leave frozen_stages out'):
        DARTSSpace(backbone=dict(skeleton, frozen_stages=1)).relaxed(model)
