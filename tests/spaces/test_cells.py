"""The cell spaces: published counts, symmetries, published genotypes, and what they make of models."""

import copy
import math
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
from nasdet.spaces.cells import CellSpace
from nasdet.spaces.cells_canonical import canonical_cell
from nasdet.spaces.cells_published import NASNET_DIALECT
from nasdet.testing import check_space
from tests.spaces.helpers import every_genotype

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
SPACES = {cls.__name__: cls for cls in (AmoebaNetSpace, DARTSSpace, ENASMicroSpace, NASNetSpace, PNASSpace)}
SKELETON = dict(num_cells=(1, 1, 1), width=8, stem='nasnet_imagenet', stem_channels=6)
PUBLISHED = [name for name in zoo.names() if zoo.load(name).space in SPACES]


def draw(space, seed=0):
    return space.sample(np.random.default_rng(seed))


def changed(genotype, **value):
    return Genotype(genotype.space, {**genotype.plain(), **value})


def space_of(genotype):
    """The space that holds a published genotype: its dialect, and all operations."""
    dialect = {name: genotype.value[name] for name in ('inputs', 'strided_id', 'convs', 'pool_norm')}
    options = {'NASNetSpace': dict(concat='free'), 'AmoebaNetSpace': dict(concat='free', ops=tuple(OPERATIONS))}
    return SPACES[genotype.space](dialect=dialect, **options.get(genotype.space, {}))


@pytest.mark.parametrize('space, size', [
    (NASNetSpace(combines=('add',)), (math.prod((b + 1) ** 2 * 13 ** 2 for b in range(1, 6))) ** 2),
    (NASNetSpace(), (math.prod((b + 1) ** 2 * 13 ** 2 * 2 for b in range(1, 6))) ** 2),
    (AmoebaNetSpace(), (math.prod((b + 1) ** 2 * 8 ** 2 for b in range(1, 6))) ** 2),
    (PNASSpace(), 256 + 256 * 576 + 256 * 576 * 1024 + 256 * 576 * 1024 * 1600 + 556_627_761_561_600),
    (ENASMicroSpace(), math.prod((i * 5) ** 2 for i in range(2, 7)) ** 2),
    (DARTSSpace(), math.prod(k * (k + 1) // 2 * 7 ** 2 for k in range(1, 5)) ** 2)])
def test_sizes_of_the_papers(space, size):
    assert space.size() == size


def test_sizes_as_printed():
    assert f'{NASNetSpace(combines=("add",)).size():.1e} {NASNetSpace().size():.1e}' == '5.1e+33 5.2e+36'
    assert f'{AmoebaNetSpace().size():.1e} {ENASMicroSpace().size():.2e}' == '3.1e+29 2.56e+25'
    assert f'{math.isqrt(DARTSSpace().size()):.2e}' == '1.04e+09'


@pytest.mark.parametrize('space', [
    NASNetSpace(1, ('id', 'sep3')), NASNetSpace(1, ('sep3',), concat='free'), PNASSpace(2, ('sep3',)),
    CellSpace(2, ('sep3',), NASNET_DIALECT, concat='free', cells=('normal',)), DARTSSpace(2, ('sep3',))],
    ids=lambda space: space.name)
def test_size_counts_every_genotype(space):
    genotypes = list(every_genotype(space))
    assert len(genotypes) == len(set(genotypes)) == space.size()


@pytest.mark.parametrize('space', [
    NASNetSpace(), NASNetSpace(concat='free'), AmoebaNetSpace(), PNASSpace(), PNASSpace(concat='unused_blocks'),
    ENASMicroSpace(), DARTSSpace()], ids=lambda space: f'{space.name}-{space.concat}')
def test_conforms(space):
    check_space(space, np.random.default_rng(0), samples=2)


def test_decisions_of_the_papers():
    names = [choice.name for choice, _ in NASNetSpace().walk(NASNetSpace().draw(np.random.default_rng(0)))]
    assert len(names) == 50
    assert names[:5] == [f'normal.block0.{name}' for name in ('state1', 'state2', 'op1', 'op2', 'combine')]
    assert names[-5:] == [f'reduce.block4.{name}' for name in ('state1', 'state2', 'op1', 'op2', 'combine')]
    space = DARTSSpace()
    names = [choice.name for choice, _ in space.walk(space.draw(np.random.default_rng(0)))]
    assert len(names) == 24 and names[:3] == ['normal.block0.states', 'normal.block0.op1', 'normal.block0.op2']


# ---- symmetries

def test_unique_blocks_and_cells_of_progressive_search():
    """Liu et al., arXiv:1712.00559: 136 cells of one block; blocks that may follow, their halves without order."""
    space = PNASSpace()
    cells, blocks = space.extensions(None), []
    for _ in range(5):
        level = list(cells)
        blocks.append(len(level))
        chain = max(level, key=lambda genotype: sum(block[0] for block in genotype.value['normal']['blocks']))
        cells = space.extensions(chain)     # each block reads the one before, so that no two orders are the same
    assert blocks == [136, 300, 528, 820, 1176] and list(cells) == []


def test_unique_cells_of_two_blocks():
    space = PNASSpace()
    unique = {longer for cell in space.extensions(None) for longer in space.extensions(cell)}
    assert len(unique) == 31_620
    assert all(space.canonical(genotype) == genotype for genotype in list(unique)[:100])


def test_extensions_are_all_cells_of_one_block_more():
    space = PNASSpace(2, ('sep3', 'max3'))
    every = {space.canonical(genotype) for genotype in every_genotype(space)}
    grown = set(space.extensions(None))
    grown |= {longer for cell in grown for longer in space.extensions(cell)}
    assert grown == every


def test_halves_and_blocks_may_change_places():
    cell = dict(blocks=[[0, 'sep3', 1, 'max3'], [1, 'id', 1, 'avg3'], [3, 'sep5', 2, 'id']], concat=[0, 2, 4])
    same = dict(blocks=[[1, 'avg3', 1, 'id'], [1, 'max3', 0, 'sep3'], [3, 'id', 2, 'sep5']], concat=[0, 3, 4])
    assert canonical_cell(cell) == canonical_cell(same)
    for other in (dict(same, concat=[0, 2, 4]), dict(same, concat=[1, 3, 4]),
                  dict(same, blocks=[*same['blocks'][:2], [2, 'id', 3, 'sep5']])):
        assert canonical_cell(other) != canonical_cell(cell)


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
               init_cfg=dict(type='Pretrained', checkpoint='x.pth'))
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


def test_graph_shows_states_operations_and_output():
    normal = dict(blocks=[[0, 'sep3', 1, 'id'], [2, 'max3', 2, 'avg3', 'concat']], concat=[1, 3])
    reduce = dict(blocks=[[0, 'id', 0, 'id'], [1, 'id', 2, 'sep5']], concat=[3])
    genotype = changed(zoo.load('nasnet_a_4_1056'), normal=normal, reduce=reduce)
    graph = NASNetSpace(2, concat='free').graph(genotype)
    assert {node['id']: node['label'] for node in graph.nodes if node['kind'] == 'block'} == {
        'normal.2': '2: sep3(0) + id(1)', 'normal.3': '3: max3(2) | avg3(2)', 'reduce.2': '2: id(0) + id(0)',
        'reduce.3': '3: id(1) + sep5(2)'}
    assert {(a, b) for a, b, _ in graph.edges} == {
        ('normal.0', 'normal.2'), ('normal.1', 'normal.2'), ('normal.2', 'normal.3'), ('normal.1', 'normal.output'),
        ('normal.3', 'normal.output'), ('reduce.0', 'reduce.2'), ('reduce.1', 'reduce.3'), ('reduce.2', 'reduce.3'),
        ('reduce.3', 'reduce.output')}
    places = [(node['column'], node['row']) for node in graph.nodes]
    assert len(set(places)) == len(places)
    assert min(node['row'] for node in graph.nodes if node['id'].startswith('normal')) > max(
        node['row'] for node in graph.nodes if node['id'].startswith('reduce'))


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


# ---- what is refused

@pytest.mark.parametrize('settings, words', [
    (dict(num_blocks=0), 'at least one block'), (dict(ops=('sep9',)), "ops are different ones of .* not .'sep9'"),
    (dict(ops=('id', 'id')), 'different ones'), (dict(ops=()), 'at least one'),
    (dict(combines=('mul',)), 'combines are different ones of add, concat'), (dict(concat='none'), 'concat is one of'),
    (dict(dialect=dict(convs='wide')), 'convs is one of'), (dict(dialect=dict(width=3)), 'has the keys'),
    (dict(backbone=dict(genotype='x')), 'genotype follows from the space')])
def test_refuses_wrong_arguments(settings, words):
    with pytest.raises(ValueError, match=words):
        NASNetSpace(**settings)


def test_refuses_a_concat_that_does_not_grow():
    with pytest.raises(ValueError, match="'blocks' or 'unused_blocks', not 'free'"):
        PNASSpace(concat='free')


@pytest.mark.parametrize('space, genotype, words', [
    (NASNetSpace(), zoo.load('nasnet_a_4_1056'), r"concatenates \[0, 2, 3, 4, 5, 6\], but concat='unused' .* \[2, 3"),
    (NASNetSpace(4), zoo.load('nasnet_a_4_1056'), 'have 4 blocks, those of the genotype 5'),
    (AmoebaNetSpace(concat='free'), zoo.load('amoebanet_b_cifar'), "normal.block0.op1 is 'conv1', but this space"),
    (DARTSSpace(), changed(zoo.load('darts_v1_cifar'), strided_id='relu_conv'), "strided_id='relu_factorized', the"),
    (PNASSpace(), changed(zoo.load('darts_v1_cifar')), r"the cells \['normal'\], the genotype \['normal', 'reduce'\]"),
    (NASNetSpace(1, combines=('add',)), NASNetSpace(1, combines=('concat',)).decode((0, 0, 0, 0) * 2),
     "combines by 'concat', but this space allows")])
def test_refuses_genotypes_of_other_spaces(space, genotype, words):
    with pytest.raises(ValueError, match=words):
        space.encode(genotype)


def test_refuses_equal_states_where_they_are_different_ones():
    value = zoo.load('darts_v1_cifar').plain()
    value['normal']['blocks'][0] = [1, 'sep3', 1, 'sep3']
    with pytest.raises(ValueError, match=r'normal.block0.states is \(1, 1\), but this space allows \[\(0, 1\)\]'):
        DARTSSpace().check(Genotype('DARTSSpace', value))


def test_refuses_models_without_a_skeleton():
    model = ConfigDict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), num_classes=3, in_channels=512)
    with pytest.raises(ValueError, match='nothing says num_cells of the network: give the space backbone=dict'):
        NASNetSpace().check_model(model)
