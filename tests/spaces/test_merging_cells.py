"""The NAS-FPN space: size, decisions, symmetries."""

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
from nasdet.testing import check_space

SPACE = MergingCellSpace()
EVERYTHING = dict(stacks=(1, 3), widths=(64, 32, 48), convs=('dense', 'separable'), head_depths=(1, 4))


def spec(space, cells):
    """A genotype from (level, op, input, input) of each cell."""
    intermediate = len(cells) - len(space.levels)
    cells = [dict(level=level, op=op, inputs=[a, b], output=index >= intermediate)
             for index, (level, op, a, b) in enumerate(cells)]
    value = dict(levels=list(space.levels), gp_mode=space.gp_mode, top=space.top, conv_bias=space.conv_bias,
                 cells=cells)
    return Genotype(space.name, {**value, 'extra_projection': True} if space.extra_projection else value)


def test_size_is_the_product_of_the_paper():
    assert SPACE.size() == 80 * 120 * 42 * 56 * 72 * 90 * 110 * 120 == 1_931_334_451_200_000
    small = MergingCellSpace(num_cells=3, levels=(3, 4))
    assert small.size() == sum(1 for _ in every_genotype(small)) == 1 * 2 * 1 * 3 * 2 * 2 * 6 * 2 * 1
    further = MergingCellSpace(num_cells=2, levels=(3, 4), **EVERYTHING)
    assert further.size() == sum(1 for _ in every_genotype(further)) == 1 * 2 * 2 * 3 * 2 * 1 * 2 * 3 * 2 * 2


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


# ---- symmetries: equal keys, equal networks; other keys, other networks


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
        yield index, Genotype(space.name, {**value, 'cells': cells})


def merged(genotype):
    return [(cell.inputs, cell.unused) for cell in read_cells(genotype.plain())]


@pytest.mark.parametrize('settings', [{}, dict(gp_mode='mmdet'), dict(extra_projection=True)])
def test_swapped_cells_share_a_key_exactly_where_the_network_is_equal(settings):
    space, rng = MergingCellSpace(**settings), np.random.default_rng(0)
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
    _, second = next(swaps(first, space))
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
        relatives = [space.canonical(genotype), *(other for _, other in swaps(genotype, space)),
                     space.mutate(genotype, rng)]
        for other in relatives:
            error = (outputs_of_neck(other, space) - expected).abs().max() / expected.abs().max()
            equal = space.key(other) == space.key(genotype)
            assert (error < 1e-12) == equal, (error, genotype.to_json(), other.to_json())
            same, changed = same + equal, changed + (not equal)
    assert same > 20 and changed > 12


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
