"""Backbone and neck searched together: decisions, keys, detectors, costs."""

from pathlib import Path

import mmdet
import numpy as np
import pytest
from mmengine.config import Config

from nasdet import zoo
from nasdet.confirm.finalists import published
from nasdet.costs import AdditiveMacs, Macs
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.spaces import ChoiceBlockSpace, MergingCellSpace, ProductSpace
from nasdet.testing import check_cost, check_space
from tests.spaces.helpers import every_genotype
from tests.toys import ToySpace

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
STAGES = [dict(channels=8, num_blocks=1), dict(channels=12, num_blocks=2), dict(channels=16, num_blocks=1),
          dict(channels=20, num_blocks=1)]
BACKBONE = dict(type='ChoiceBlockSpace', stages=STAGES, stem_channels=4)
NECK = dict(type='MergingCellSpace', num_cells=6, neck=dict(out_channels=16, stack_times=1))
SPACE = ProductSpace(dict(neck=NECK, backbone=BACKBONE))


@pytest.fixture(scope='module')
def retinanet():
    """The model config of RetinaNet."""
    return Config.fromfile(str(CONFIGS / 'retinanet/retinanet_r50_fpn_1x_coco.py')).model


def genotypes(number, space=SPACE):
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(number)]


def test_conforms_and_fits_a_detector(retinanet):
    check_space(SPACE, np.random.default_rng(0), retinanet, samples=5)
    check_space(ProductSpace(dict(neck=NECK, backbone=dict(type='ChoiceBlockSpace', preset='300m'))),
                np.random.default_rng(0), samples=2)
    SPACE.check_model(retinanet)


def test_parts_of_any_length_conform():
    """The toy's decisions depend on each other, and so does their number."""
    space = ProductSpace(dict(head=ToySpace(3), backbone=ToySpace(2)))
    check_space(space, np.random.default_rng(0), samples=20)
    assert space.size() == 24 * 192 == sum(1 for _ in every_genotype(space))
    assert not space.can('apply') and space.can('graph')


def test_the_decisions_are_those_of_the_parts():
    names = [choice.name for choice, _ in SPACE.walk(SPACE.draw(np.random.default_rng(0)))]
    assert names[:6] == ['backbone.stage1.block1', 'backbone.stage2.block1', 'backbone.stage2.block2',
                         'backbone.stage3.block1', 'backbone.stage4.block1', 'neck.cell0.pair']
    assert len(names) == 5 + 3 * 6 and SPACE.size() == 4 ** 5 * SPACE.spaces['neck'].size()
    assert list(SPACE.vocab) == ['backbone.block', 'neck.pair', 'neck.level', 'neck.op']
    genotype = genotypes(1)[0]
    assert genotype.plain()['neck']['space'] == 'MergingCellSpace'
    parts = SPACE.parts(genotype)
    assert SPACE.encode(genotype) == (*SPACE.spaces['backbone'].encode(parts['backbone']),
                                      *SPACE.spaces['neck'].encode(parts['neck']))


def test_equal_parts_are_equal_networks():
    """Adjacent cells that do not read each other may be swapped: the neck's rule holds in the product too."""
    neck = SPACE.spaces['neck']
    changed = 0
    for genotype in genotypes(200):
        parts = SPACE.parts(genotype)
        same = SPACE.canonical(genotype)
        changed += same != genotype
        assert SPACE.key(same) == SPACE.key(genotype)
        assert SPACE.parts(same) == dict(backbone=parts['backbone'], neck=neck.canonical(parts['neck']))
    assert changed


def test_apply_gives_each_part_its_own(retinanet):
    genotype = genotypes(1)[0]
    parts, applied = SPACE.parts(genotype), SPACE.apply(genotype, retinanet)
    assert applied.backbone.genotype == parts['backbone'].plain() and applied.neck.genotype == parts['neck'].plain()
    assert applied.neck.in_channels == [8, 12, 16, 20] and applied.bbox_head.in_channels == 16
    supernet = SPACE.supernet(retinanet)
    assert (supernet.backbone.type, supernet.neck.type) == ('DetNASSupernet', 'MergingCellSupernet')
    assert SPACE.path(genotype, 'backbone') == parts['backbone'].plain()
    assert SPACE.path(genotype, 'neck') == parts['neck'].plain()
    with pytest.raises(ValueError, match=r"searches 'head', and the parts of this space are \['backbone', 'neck'\]"):
        SPACE.path(genotype, 'head')


def test_a_part_that_does_not_fit_is_refused(retinanet):
    coarse = ProductSpace(dict(backbone=BACKBONE, neck=dict(NECK, levels=(6, 7), num_cells=3)))
    with pytest.raises(ValueError, match=r'level 6 has stride 64, but the backbone gives maps of the strides \[4, 8'):
        coarse.check_model(retinanet)
    deep = dict(BACKBONE, stages=[*STAGES, dict(channels=24, num_blocks=1)])
    with pytest.raises(ValueError, match='bbox_head .* expects'):
        ProductSpace(dict(backbone=deep, neck=NECK)).check_model(retinanet)


def test_costs_of_both_parts(retinanet):
    shape = dict(input_shape=(3, 64, 64))
    by_table = AdditiveMacs(SPACE, retinanet, scope='backbone', **shape)
    counted = [Macs(SPACE, retinanet, scope=scope, **shape) for scope in ('backbone', 'neck', 'model')]
    check_cost(by_table, genotypes(2))
    for genotype in genotypes(3):
        backbone, neck, model = [cost(genotype) for cost in counted]
        assert by_table(genotype) == backbone and model > backbone + neck > backbone
    own = ChoiceBlockSpace(STAGES, stem_channels=4)
    alone = AdditiveMacs(own, retinanet, scope='backbone', **shape)
    for share in (0.1, 0.5):
        assert by_table.distribution.quantile(share) == alone.distribution.quantile(share)
    for scope in ('neck', 'model'):
        with pytest.raises(ValueError, match=f'cost of the {scope} is no sum over blocks, as MergingCellSpace'):
            AdditiveMacs(SPACE, retinanet, scope=scope)


def test_the_graph_has_both_parts_beside_each_other():
    graph = SPACE.graph(genotypes(1)[0])
    columns = {part: [node['column'] for node in graph.nodes if node['id'].startswith(part)]
               for part in ('backbone.', 'neck.')}
    assert max(columns['backbone.']) < min(columns['neck.'])
    assert len(graph.nodes) == 6 + 5 + 6


def test_a_published_part_is_no_baseline_of_the_whole(retinanet):
    with pytest.raises(SearchError, match='a genotype of MergingCellSpace does not fit a search of ProductSpace'):
        published(SPACE, zoo.load('fpn'), genotypes(1)[0], retinanet)


@pytest.mark.parametrize('change, words', [
    (lambda value: value.pop('neck'), r"has the parts \['backbone', 'neck'\], the genotype \['backbone'\]"),
    (lambda value: value['neck'].pop('space'), 'part neck of a genotype has the keys space and value'),
    (lambda value: value['neck'].update(space='Other'), 'part neck of this space is a MergingCellSpace, .* a Other'),
    (lambda value: value['backbone']['value'].update(shuffle='even_odd'), "shuffle='halves', the genotype 'even_odd'")])
def test_refuses_genotypes_of_other_spaces(change, words):
    value = genotypes(1)[0].plain()
    change(value)
    with pytest.raises(ValueError, match=words):
        SPACE.check(Genotype('ProductSpace', value))


def test_refuses_a_product_of_one():
    with pytest.raises(ValueError, match='two spaces or more, not 1'):
        ProductSpace(dict(neck=NECK))
    with pytest.raises(ValueError, match="unknown space type 'MergingSpace'"):
        ProductSpace(dict(neck=dict(type='MergingSpace'), backbone=BACKBONE))
    assert ProductSpace(dict(a=MergingCellSpace(), neck=MergingCellSpace())).spaces.keys() == {'neck', 'a'}
