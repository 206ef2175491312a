"""The NAS-FPN space: size, decisions, symmetries."""

import itertools
import zlib

import numpy as np
import pytest
import torch

from nasdet import zoo
from nasdet.genotype import Genotype
from nasdet.models.layers.merging import Cell, read_cells, run_cells
from nasdet.spaces.merging_cells import MergingCellSpace
from nasdet.testing import check_space

SPACE = MergingCellSpace()


def spec(space, cells):
    """A genotype from (level, op, input, input) of each cell."""
    intermediate = len(cells) - len(space.levels)
    cells = [dict(level=level, op=op, inputs=[a, b], output=index >= intermediate)
             for index, (level, op, a, b) in enumerate(cells)]
    return Genotype(space.name, dict(levels=list(space.levels), gp_mode=space.gp_mode, top=space.top,
                                     conv_bias=space.conv_bias, cells=cells))


def test_size_is_the_product_of_the_paper():
    assert SPACE.size() == 80 * 120 * 42 * 56 * 72 * 90 * 110 * 120 == 1_931_334_451_200_000
    small = MergingCellSpace(num_cells=3, levels=(3, 4))
    assert small.size() == sum(1 for _ in every_genotype(small)) == 1 * 2 * 1 * 3 * 2 * 2 * 6 * 2 * 1


def every_genotype(space):
    pending = [()]
    while pending:
        prefix = pending.pop()
        choice = space.choices(prefix)
        if choice is None:
            yield space.decode(prefix)
        else:
            pending.extend(prefix + (token,) for token in choice.legal)


@pytest.mark.parametrize('name, settings', [
    ('nas_fpn', {}), ('nas_fpn_mmdet', dict(gp_mode='mmdet', top='conv_pool')), ('fpn', dict(num_cells=5)),
    ('pafpn', dict(num_cells=9))])
def test_published_cells_round_trip(name, settings):
    space, genotype = MergingCellSpace(**settings), zoo.load(name)
    space.check(genotype)
    assert space.decode(space.encode(genotype)) == genotype


@pytest.mark.parametrize('settings', [{}, dict(levels=(2, 3, 4, 5, 6)), dict(num_cells=4, levels=(3, 4)),
                                      dict(num_cells=9, ops=('gp',))])
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


# ---- symmetries: equal keys, equal networks; other keys, other networks


def pixels(genotype, space, weights):
    """Outputs of a network whose cells carry weights by what they merge, not by their place."""
    cells = read_cells(genotype.plain())
    torch.manual_seed(0)
    sides = [2 ** (space.levels[-1] - level + 1) for level in space.levels]
    features = [torch.randn(1, 3, side, side, dtype=torch.float64) for side in sides]
    named = [f'P{level}' for level in space.levels]
    convs = []
    for cell in cells:
        named.append(meaning(cell, named))
        kernel = weights(named[-1])
        convs.append(lambda x, kernel=kernel: torch.tanh(torch.einsum('oc,nchw->nohw', kernel, x)))
    outputs = run_cells(features, space.levels, cells, convs, space.gp_mode)
    return torch.cat([output.flatten() for output in outputs]), frozenset(named)


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
    first = len(space.levels)
    for index in range(space.num_cells - 1):
        cells = [dict(cell) for cell in value['cells']]
        if index + 1 == space.num_intermediate or first + index in cells[index + 1]['inputs']:
            continue
        rename = {first + index: first + index + 1, first + index + 1: first + index}
        cells[index], cells[index + 1] = cells[index + 1], cells[index]
        for cell in cells:
            cell['inputs'] = sorted(rename.get(offset, offset) for offset in cell['inputs'])
        yield index, Genotype(space.name, {**value, 'cells': cells})


def merged(genotype):
    return [(cell.inputs, cell.unused) for cell in read_cells(genotype.plain())]


@pytest.mark.parametrize('mode', ['reference', 'mmdet'])
def test_swapped_cells_share_a_key_exactly_where_the_network_is_equal(mode):
    space, rng = MergingCellSpace(gp_mode=mode), np.random.default_rng(0)
    same = changed = 0
    for _ in range(60):
        genotype = space.sample(rng)
        before, _ = pixels(genotype, space, drawn)
        for _, other in swaps(genotype, space):
            after, _ = pixels(other, space, drawn)
            equal = torch.allclose(before, after, rtol=1e-9, atol=1e-12)
            assert (space.key(genotype) == space.key(other)) == equal, (genotype.to_json(), other.to_json())
            same, changed = same + equal, changed + (not equal)
    assert same > 100 and changed > 10


def test_canonical_is_the_same_network_and_its_own_canonical():
    rng = np.random.default_rng(1)
    for space in (SPACE, MergingCellSpace(num_cells=9, levels=(3, 4, 5)), MergingCellSpace(gp_mode='mmdet')):
        for _ in range(60):
            genotype = space.sample(rng)
            canonical = space.canonical(genotype)
            space.check(canonical)
            assert space.canonical(canonical) == canonical
            torch.testing.assert_close(pixels(genotype, space, drawn)[0], pixels(canonical, space, drawn)[0],
                                       rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('settings', [dict(num_cells=3, levels=(3, 4)), dict(num_cells=4, levels=(3, 4), ops=('sum',)),
                                      dict(num_cells=3, levels=(3, 4, 5), gp_mode='mmdet')])
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
    _, swapped = next(swaps(genotype, SPACE))       # the two intermediates, which cell 8 gates one by the other
    assert SPACE.key(genotype) != SPACE.key(swapped)


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
    (dict(gp_mode='mean'), 'gp_mode'), (dict(neck=dict(width=3)), "'width'")])
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


@pytest.mark.parametrize('settings', [{}, dict(num_cells=5), dict(num_cells=4, levels=(3, 4)),
                                      dict(gp_mode='mmdet', top='conv_pool')])
def test_conforms(settings):
    check_space(MergingCellSpace(**settings), np.random.default_rng(0), samples=3)
