"""The NAS-FPN space: size, decisions, what it refuses."""

import itertools

import numpy as np
import pytest

from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.spaces.merging_cells import MergingCellSpace
from nasdet.testing import check_space
from tests.spaces.helpers import every_genotype

SPACE = MergingCellSpace()
EVERYTHING = dict(stacks=(1, 3), widths=(64, 32, 48), convs=('dense', 'separable'), head_depths=(1, 4))


def test_size_is_the_product_of_the_paper():
    assert SPACE.size() == 80 * 120 * 42 * 56 * 72 * 90 * 110 * 120 == 1_931_334_451_200_000
    small = MergingCellSpace(num_cells=3, levels=(3, 4))
    assert small.size() == sum(1 for _ in every_genotype(small)) == 1 * 2 * 1 * 3 * 2 * 2 * 6 * 2 * 1
    further = MergingCellSpace(num_cells=2, levels=(3, 4), **EVERYTHING)
    assert further.size() == sum(1 for _ in every_genotype(further)) == 1 * 2 * 2 * 3 * 2 * 1 * 2 * 3 * 2 * 2


@pytest.mark.parametrize('name, settings', [
    ('nas_fpn', {}), ('nas_fpn_mmdet', dict(gp_mode='mmdet', top='conv_pool')), ('fpn', dict(num_cells=5)),
    ('pafpn', dict(num_cells=9))])
def test_published_cells_round_trip(name, settings):
    space, genotype = MergingCellSpace(**settings), zoo.load(name)
    space.check(genotype)
    assert space.decode(space.encode(genotype)) == genotype


@pytest.mark.parametrize('settings', [{}, dict(levels=(2, 3, 4, 5, 6)), dict(num_cells=4, levels=(3, 4)),
                                      dict(num_cells=9, ops=('gp',)), EVERYTHING, dict(extra_projection=True)])
def test_samples_round_trip(settings):
    space, rng = MergingCellSpace(**settings), np.random.default_rng(0)
    for _ in range(200):
        tokens = space.draw(rng)
        genotype = space.decode(tokens)
        assert space.encode(genotype) == tokens
        levels = [cell['level'] for cell in genotype.plain()['cells']]
        assert sorted(levels[space.num_intermediate:]) == list(space.levels)
        assert min(levels[:space.num_intermediate], default=9) > space.levels[0]


def test_last_output_level_is_forced():
    rng = np.random.default_rng(0)
    choices = [choice for choice, _ in SPACE.walk(SPACE.draw(rng))]
    assert [choice.name for choice in choices if choice.forced] == ['cell6.level']


def test_further_decisions_come_last_and_every_choice_is_reached():
    space, rng = MergingCellSpace(**EVERYTHING), np.random.default_rng(0)
    names = [choice.name for choice, _ in space.walk(space.draw(rng))]
    assert names[:-4] == [choice.name for choice, _ in SPACE.walk(SPACE.draw(rng))]
    assert names[-4:] == ['stacks', 'width', 'conv', 'head_depth'] == [*space.vocab][-4:]
    drawn_values = [space.sample(rng).plain() for _ in range(60)]
    genotype, mutants = space.sample(rng), []
    for _ in range(300):
        genotype = space.mutate(genotype, rng)
        mutants.append(genotype.plain())
    for name, known in zip(names[-4:], EVERYTHING.values(), strict=True):
        assert {value[name] for value in drawn_values} == {value[name] for value in mutants} == set(known)


def test_a_further_decision_with_one_choice_is_forced_and_written():
    space = MergingCellSpace(stacks=[2])
    rng = np.random.default_rng(0)
    assert [choice.name for choice, _ in space.walk(space.draw(rng)) if choice.forced][-1] == 'stacks'
    assert space.sample(rng).plain()['stacks'] == 2


def test_a_genotype_that_does_not_say_its_convolution_has_a_dense_one():
    space, genotype = MergingCellSpace(convs=('separable', 'dense')), zoo.load('nas_fpn')
    space.check(genotype)
    said = Genotype(space.name, {**genotype.plain(), 'conv': 'dense'})
    assert space.key(genotype) == space.key(said) and SPACE.key(genotype) == SPACE.key(said)
    assert space.key(Genotype(space.name, {**genotype.plain(), 'conv': 'separable'})) != space.key(said)


def test_further_decisions_tell_networks_apart():
    space = MergingCellSpace(**EVERYTHING)
    cells = SPACE.encode(zoo.load('nas_fpn'))
    decided = itertools.product(*(range(len(known)) for known in EVERYTHING.values()))
    assert len({space.key(space.decode((*cells, *tokens))) for tokens in decided}) == 24


def test_mutation_crossover_and_neighbours_stay_inside():
    rng = np.random.default_rng(0)
    a, b = SPACE.sample(rng), zoo.load('nas_fpn')
    for _ in range(20):
        a = SPACE.mutate(a, rng)
        SPACE.check(SPACE.crossover(a, b, rng))
    assert sum(1 for _ in SPACE.neighbours(b)) > 100


def test_graph_shows_the_unused_features():
    graph = SPACE.graph(zoo.load('nas_fpn'))
    assert len(graph.nodes) == 12 and len(graph.edges) == 14 + 2
    assert {edge[:2] for edge in graph.edges if edge[2] == 'unused'} == {(2, 9), (4, 10)}


@pytest.mark.parametrize('settings, words', [
    (dict(num_cells=4), 'a cell for each'), (dict(levels=(3, 5)), 'consecutive'), (dict(ops=('max',)), 'ops are among'),
    (dict(gp_mode='mean'), 'gp_mode'), (dict(neck=dict(width=3)), "'width'"), (dict(extra_projection=2), 'extra_proj'),
    (dict(widths=()), 'width needs one choice'), (dict(stacks=(1, 1)), 'stacks needs one choice or several different'),
    (dict(stacks=(0, 1)), 'stacks is a whole number'), (dict(convs=('grouped',)), 'conv is one of'),
    (dict(stacks=(1, 2), neck=dict(stack_times=2)), 'stack_times is given, but stacks is a decision'),
    (dict(widths=(8, 16), neck=dict(out_channels=8)), 'out_channels is given, but width is a decision')])
def test_refuses_wrong_arguments(settings, words):
    with pytest.raises(ValueError, match=words):
        MergingCellSpace(**settings)


def test_refuses_genotypes_of_other_spaces():
    level3 = zoo.load('nas_fpn').plain()
    level3['cells'][0]['level'] = 3
    for genotype, words in [(zoo.load('nas_fpn_mmdet'), "gp_mode='reference', the genotype 'mmdet'"),
                            (zoo.load('fpn'), 'num_cells=7, the genotype has 5'),
                            (Genotype('Toy', zoo.load('nas_fpn').plain()), 'is of Toy'),
                            (Genotype('MergingCellSpace', level3), r'cell0.level is 3, but this space allows \[4'),
                            (Genotype('MergingCellSpace', dict(cells=[])), 'has the keys')]:
        with pytest.raises(ValueError, match=words):
            SPACE.check(genotype)
    with pytest.raises(ValueError, match=r"cell0.op is 'gp', but this space allows \['sum'\]"):
        MergingCellSpace(ops=('sum',)).check(zoo.load('nas_fpn'))


def test_refuses_further_decisions_that_are_missing_strange_or_not_its_own():
    space, genotype = MergingCellSpace(stacks=(1, 3)), zoo.load('nas_fpn')
    for decided, words in [({}, r'decides stacks, one of \[1, 3\], and the genotype does not say it'),
                           (dict(stacks=2), r'stacks is 2, but this space allows \[1, 3\]'),
                           (dict(stacks=1, width=64), 'has width=64, which this space does not decide'),
                           (dict(stacks=1, conv='separable'), "conv='separable', which this space does not decide")]:
        with pytest.raises(ValueError, match=words):
            space.check(Genotype(space.name, {**genotype.plain(), **decided}))


@pytest.mark.parametrize('settings', [{}, dict(num_cells=5), dict(num_cells=4, levels=(3, 4)),
                                      dict(gp_mode='mmdet', top='conv_pool'), EVERYTHING,
                                      dict(extra_projection=True), dict(num_cells=5, convs=('separable',)),
                                      dict(num_cells=6, levels=(2, 3, 4, 5, 6), extra_projection=True, widths=(16, 8))])
def test_conforms(settings):
    check_space(MergingCellSpace(**settings), np.random.default_rng(0), samples=3)
