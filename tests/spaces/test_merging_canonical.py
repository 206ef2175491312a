"""Symmetries of the NAS-FPN space: equal keys, equal networks; other keys, other networks."""

import itertools
import zlib

import numpy as np
import pytest
import torch

from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.models.layers.merging import Cell, read_cells, run_cells
from nasdet.models.necks import MergingCellFPN
from nasdet.spaces.merging_cells import MergingCellSpace
from tests.spaces.helpers import every_genotype, spec

SPACE = MergingCellSpace()


def pixels(genotype, space, weights):
    """Outputs of a network whose cells carry weights by what they merge, not by their place."""
    cells = read_cells(genotype.plain())
    torch.manual_seed(0)
    sides = [2 ** (space.levels[-1] - level + 1) for level in space.levels]
    features = [torch.randn(1, 3, side, side, dtype=torch.float64) for side in sides]
    extra = torch.randn_like(features[1]) if 'extra_projection' in genotype.value else None
    convs = []
    for name in names(cells, space, extra is not None):
        kernel = weights(name)
        convs.append(lambda x, kernel=kernel: torch.tanh(torch.einsum('oc,nchw->nohw', kernel, x)))
    outputs = run_cells(features, space.levels, cells, convs, space.gp_mode, extra)
    return torch.cat([output.flatten() for output in outputs]), frozenset(names(cells, space, extra is not None))


def names(cells, space, extra_projection):
    """Names for what the cells compute; the second input has another name after its first consumer."""
    named = [f'P{level}' for level in space.levels]
    for cell in cells:
        named.append(meaning(cell, named))
        if extra_projection and 1 in cell.inputs + cell.unused:
            named[1] = f'P{space.levels[1]} again'
    return named[len(space.levels):]


def meaning(cell: Cell, named: list):
    """A name for what a cell computes; its weights are drawn from it."""
    terms = [named[offset] for offset in cell.inputs + cell.unused]
    if cell.op == 'sum':
        return f'P{cell.level} {cell.output} sum({sorted(terms)})'
    coarser_first = sorted(terms[:2], key=lambda name: name[:2], reverse=True)      # stable: equal levels keep order
    return f'P{cell.level} {cell.output} gp({coarser_first}, {sorted(terms[2:])})'


def drawn(name):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(3, 3, generator=generator, dtype=torch.float64)


def swaps(genotype, space):
    """All genotypes reached by swapping two adjacent cells of one role that do not feed each other."""
    value = genotype.plain()
    if space.extra_projection:
        value['extra_projection'] = True    # of use after a swap, perhaps, where it was of none before
    first = len(space.levels)
    for index in range(space.num_cells - 1):
        cells = [dict(cell) for cell in value['cells']]
        if index + 1 == space.num_intermediate or first + index in cells[index + 1]['inputs']:
            continue
        rename = {first + index: first + index + 1, first + index + 1: first + index}
        cells[index], cells[index + 1] = cells[index + 1], cells[index]
        for cell in cells:
            cell['inputs'] = sorted(rename.get(offset, offset) for offset in cell['inputs'])
        yield Genotype(space.name, {**value, 'cells': cells})


@pytest.mark.parametrize('settings', [{}, dict(gp_mode='mmdet'), dict(extra_projection=True)])
def test_swapped_cells_share_a_key_exactly_where_the_network_is_equal(settings):
    space, rng = MergingCellSpace(**settings), np.random.default_rng(0)
    same = changed = 0
    for _ in range(60):
        genotype = space.sample(rng)
        before, _ = pixels(genotype, space, drawn)
        for other in swaps(genotype, space):
            after, _ = pixels(other, space, drawn)
            equal = torch.allclose(before, after, rtol=1e-9, atol=1e-12)
            assert (space.key(genotype) == space.key(other)) == equal, (genotype.to_json(), other.to_json())
            same, changed = same + equal, changed + (not equal)
    assert same > 100 and changed > 10


def test_canonical_is_the_same_network_and_its_own_canonical():
    rng = np.random.default_rng(1)
    for space in (SPACE, MergingCellSpace(num_cells=9, levels=(3, 4, 5)), MergingCellSpace(gp_mode='mmdet'),
                  MergingCellSpace(num_cells=6, levels=(3, 4, 5), extra_projection=True)):
        for _ in range(60):
            genotype = space.sample(rng)
            canonical = space.canonical(genotype)
            space.check(canonical)
            assert space.canonical(canonical) == canonical
            torch.testing.assert_close(pixels(genotype, space, drawn)[0], pixels(canonical, space, drawn)[0],
                                       rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('settings', [dict(num_cells=3, levels=(3, 4)), dict(num_cells=4, levels=(3, 4), ops=('sum',)),
                                      dict(num_cells=3, levels=(3, 4, 5), gp_mode='mmdet'),
                                      dict(num_cells=3, levels=(3, 4), extra_projection=True)])
def test_keys_of_a_whole_space_are_its_different_networks(settings):
    """With weights that belong to what a cell merges, equal pixels mean equal networks."""
    space = MergingCellSpace(**settings)
    networks = {}
    for genotype in itertools.islice(every_genotype(space), 1000):
        out, named = pixels(genotype, space, drawn)
        networks.setdefault(space.key(genotype), set()).add((round(float(out.square().sum()), 6), named))
    assert all(len(found) == 1 for found in networks.values())              # equal key: equal network
    assert len(set.union(*networks.values())) == len(networks)              # other key: other network


def test_operands_and_unused_features_of_a_sum_are_interchangeable():
    # the output of level 4 sums P4 and two intermediate cells of level 4, whichever of the three is left "unused"
    space = MergingCellSpace(num_cells=6, levels=(3, 4, 5, 6))

    def sums(a, b):
        return spec(space, [(4, 'sum', 2, 3), (4, 'gp', 2, 3), (4, 'sum', a, b),
                            (3, 'sum', 0, 6), (5, 'gp', 2, 6), (6, 'gp', 3, 6)])

    one, two, three = sums(1, 4), sums(1, 5), sums(4, 5)
    assert read_cells(one.plain())[2].unused == (5,) and read_cells(three.plain())[2].unused == (1,)
    assert space.key(one) == space.key(two) == space.key(three)


def test_gp_of_equal_levels_keeps_the_order_of_its_operands():
    cells = [(4, 'sum', 2, 3), (4, 'gp', 2, 3), (3, 'gp', 0, 5), (4, 'gp', 5, 6), (5, 'sum', 2, 8), (6, 'sum', 3, 8),
             (7, 'sum', 4, 8)]
    genotype = spec(SPACE, cells)
    swapped = next(swaps(genotype, SPACE))       # the two intermediates, which cell 8 gates one by the other
    assert SPACE.key(genotype) != SPACE.key(swapped)


def test_an_intermediate_cell_that_only_the_unused_rule_reads_has_no_place_of_its_own():
    # two intermediate cells that no cell names as its input: output 4 adds the one, output 5 the other
    one, two = (4, 'sum', 0, 2), (5, 'gp', 1, 3)
    outputs = [(3, 'sum', 0, 1), (4, 'gp', 1, 3), (5, 'sum', 2, 3), (6, 'sum', 2, 3)]
    space = MergingCellSpace(num_cells=6, levels=(3, 4, 5, 6))
    first, second = spec(space, [one, two, *outputs]), spec(space, [two, one, *outputs])
    assert [cell.unused for cell in read_cells(first.plain())[2:]] == [(), (4,), (5,), ()]
    assert [cell.unused for cell in read_cells(second.plain())[2:]] == [(), (5,), (4,), ()]
    assert space.key(first) == space.key(second)
    named = spec(space, [one, two, outputs[0], outputs[1], (5, 'sum', 4, 5), (6, 'sum', 2, 3)])
    assert space.key(named) != space.key(first)     # the cell of level 4 is now an input, of another level's output


def test_the_first_consumer_of_the_extra_projection_stays_the_first():
    space = MergingCellSpace(extra_projection=True)
    genotype = Genotype(space.name, {**zoo.load('nas_fpn').plain(), 'extra_projection': True})
    cells = [(4, 'gp', 1, 3), (5, 'sum', 1, 4), (3, 'sum', 0, 5), (4, 'sum', 2, 7), (5, 'sum', 6, 8), (6, 'sum', 3, 8),
             (7, 'sum', 4, 8)]
    first = spec(space, cells)
    second = next(swaps(first, space))
    plain = [Genotype(space.name, {key: item for key, item in g.plain().items() if key != 'extra_projection'})
             for g in (first, second)]
    assert SPACE.key(plain[0]) == SPACE.key(plain[1]) and space.key(first) != space.key(second)
    assert space.key(genotype) != SPACE.key(zoo.load('nas_fpn'))


def test_an_extra_projection_with_one_consumer_is_none():
    cells = [(4, 'gp', 0, 3), (5, 'sum', 3, 4), (3, 'sum', 0, 5), (4, 'sum', 2, 7), (5, 'sum', 6, 8), (6, 'sum', 3, 8),
             (7, 'sum', 4, 8)]       # P4 is only added as unused, to output 4
    space = MergingCellSpace(extra_projection=True)
    said, unsaid = spec(space, cells), spec(SPACE, cells)
    assert said.value['extra_projection'] and 'extra_projection' not in unsaid.value
    assert space.decode(space.encode(said)) == space.canonical(said) == space.canonical(unsaid)
    assert 'extra_projection' not in space.canonical(said).value
    assert space.key(said) == SPACE.key(unsaid) == SPACE.key(said)
    with pytest.raises(ValueError, match='extra_projection=False, the genotype True'):
        SPACE.check(Genotype(space.name, {**zoo.load('nas_fpn').plain(), 'extra_projection': True}))
    with pytest.raises(ValueError, match='extra_projection=True, the genotype False'):
        space.check(zoo.load('nas_fpn'))


def outputs_of_neck(genotype, space):
    """Outputs of the neck itself, in float64, with weights by what they are for."""
    value = genotype.plain()
    neck = MergingCellFPN([2, 3, 4], 4, num_outs=len(space.levels), genotype=value, stack_times=2).double()
    named = names(neck.cells, space, value.get('extra_projection', False))
    for name, parameter in neck.named_parameters():
        place = name.split('.')
        if place[0] == 'stacks':
            name = f'{place[1]} {named[int(place[2])]} {place[3:]}'
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    torch.manual_seed(0)
    maps = [torch.randn(1, channels, side, side, dtype=torch.float64)
            for channels, side in ((2, 16), (3, 8), (4, 4))]
    return torch.cat([output.flatten() for output in neck(maps)])


@pytest.mark.parametrize('settings', [dict(extra_projection=True), dict(convs=('dense', 'separable')),
                                      dict(gp_mode='mmdet', top='conv_pool', extra_projection=True)])
def test_necks_of_equal_keys_give_equal_outputs_and_others_do_not(settings):
    space, rng = MergingCellSpace(**settings), np.random.default_rng(3)
    same = changed = 0
    for _ in range(12):
        genotype = space.sample(rng)
        expected = outputs_of_neck(genotype, space)
        for other in (space.canonical(genotype), *swaps(genotype, space), space.mutate(genotype, rng)):
            error = (outputs_of_neck(other, space) - expected).abs().max() / expected.abs().max()
            equal = space.key(other) == space.key(genotype)
            assert (error < 1e-12) == equal, (error, genotype.to_json(), other.to_json())
            same, changed = same + equal, changed + (not equal)
    assert same > 20 and changed > 12
