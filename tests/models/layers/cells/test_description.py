"""What a cell genotype may say."""

import copy

import pytest

from nasdet import zoo
from nasdet.models.layers.cells import Block, Dialect, check_genotype, read_cells

VALUE = dict(normal=dict(blocks=[[1, 'sep3', 0, 'id'], [2, 'avg3', 1, 'max3', 'concat']], concat=[3, 0]),
             inputs='nasnet', strided_id='relu_conv', convs='plain', pool_norm=False)


def changed(**changes):
    return {**copy.deepcopy(VALUE), **changes}


def with_blocks(blocks, concat=(2,)):
    return changed(normal=dict(blocks=blocks, concat=list(concat)))


def test_the_graph():
    normal = read_cells(VALUE)['normal']
    assert normal.blocks == (Block((1, 0), ('sep3', 'id')), Block((2, 1), ('avg3', 'max3'), 'concat'))
    assert normal.concat == (3, 0) and normal.used == {0, 1, 2, 3}


def test_one_cell_serves_both_places_where_there_is_no_reduction_cell():
    cells = read_cells(VALUE)
    assert cells['reduce'] == cells['normal']
    nasnet = read_cells(zoo.load('nasnet_a_4_1056').plain())
    assert nasnet['reduce'] != nasnet['normal']


@pytest.mark.parametrize('value, message', [
    ({key: item for key, item in VALUE.items() if key != 'convs'}, 'has the keys normal, inputs, strided_id, convs'),
    (changed(stem='cifar'), 'may have reduce'),
    (changed(inputs='pnas'), "inputs is one of .*, not 'pnas'"),
    (changed(strided_id='none'), "strided_id is one of .*, not 'none'"),
    (changed(convs=1), 'convs is one of .*, not 1'),
    (changed(pool_norm='no'), "pool_norm is one of .*, not 'no'"),
    (changed(reduce=dict(blocks=[])), 'the reduce cell has the keys blocks and concat'),
    (with_blocks([[0, 'sep3', 1]]), r"normal cell, block 0 is a list such as \[1, 'sep5', 0, 'sep3'\]"),
    (with_blocks(['0, sep3']), 'normal cell, block 0 is a list'),
    (changed(normal=dict(blocks=None, concat=[2])), 'blocks of the normal cell is a list, not None'),
    (changed(normal=dict(blocks=[[0, 'sep3', 1, 'id']], concat=2)), 'concat of the normal cell is a list, not 2'),
    (with_blocks([[0, 'sep3', 1.0, 'id']]), r'block 0 reads one of the states 0 to 1, not 1\.0'),
    (with_blocks([[0, 'sep3', True, 'id']]), 'block 0 reads one of the states 0 to 1, not True'),
    (with_blocks([[0, 'sep3', 1, ['id']]]), r"block 0: \['id'\] is not one of the operations"),
    (with_blocks([[0, 'sep3', 1, 'id']], concat=[[2]]), r'concat lists different states below 3, .* \[\[2\]\]'),
    (with_blocks([[0, 'sep3', 2, 'id']]), 'block 0 reads one of the states 0 to 1, not 2'),
    (with_blocks([[0, 'sep3', 1, 'skip']]), "block 0: 'skip' is not one of the operations id, none, sep3"),
    (with_blocks([[0, 'sep3', 1, 'id', 'mul']]), "block 0: combine is one of .*, not 'mul'"),
    (with_blocks([[0, 'sep3', 1, 'id']], concat=[]), 'normal cell: concat lists different states below 3'),
    (with_blocks([[0, 'sep3', 1, 'id']], concat=[2, 2]), 'concat lists different states'),
    (with_blocks([[0, 'sep3', 1, 'id']], concat=[3]), 'concat lists different states below 3'),
    (with_blocks([[0, 'sep3', 1, 'id'], [1, 'id', 1, 'id']]), r'nothing uses the states \[3\]')])
def test_what_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        check_genotype(value)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding is one of .*, not 'valid'"):
        Dialect.of(VALUE, 'valid', dict(type='BN'))
