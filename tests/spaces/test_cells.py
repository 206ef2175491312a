"""The cell spaces: published counts, symmetries, and what they refuse."""

import math

import numpy as np
import pytest

from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.spaces import AmoebaNetSpace, DARTSSpace, ENASMicroSpace, NASNetSpace, PNASSpace
from nasdet.spaces.cells import CellSpace
from nasdet.spaces.cells_canonical import canonical_cell
from nasdet.spaces.cells_published import NASNET_DIALECT
from nasdet.testing import check_space
from tests.spaces.helpers import every_genotype


def changed(genotype, **value):
    return Genotype(genotype.space, {**genotype.plain(), **value})


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
