"""One cell: its wiring, its inputs, its output and drop-path."""

import pytest
import torch
import torch.nn.functional as F

from nasdet import zoo
from nasdet.models.layers.cells import Block, Cell, CellGraph, Dialect, build_operation, read_cells, stack_of_cells
from nasdet.models.layers.cells.convolutions import FactorizedReduction

WIDTH = 4


def graph(*blocks, concat=(2,)):
    return CellGraph(tuple(Block(tuple(block[0:3:2]), tuple(block[1:4:2]), *block[4:]) for block in blocks), concat)


def build(cell_graph, in_channels=(6, 8), reduction=False, halve_first=False, **dialect):
    torch.manual_seed(0)
    return Cell(cell_graph, in_channels, WIDTH, reduction, halve_first, Dialect(**dialect)).double()


def maps(first, last):
    return tuple(torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in (first, last))


def names(cell, place):
    """Return the names of the layers that make state 0 or 1."""
    return [name for name, _ in cell.inputs[place].named_children()]


def literal(cell, before, last):
    """Run a cell as its graph is written: every operation by itself, with a ReLU of its own."""
    def run(operation, x):
        return operation(F.relu(x) if operation.wants_relu else x)

    states = [run(cell.inputs[0], before), run(cell.inputs[1], last)]
    for block, operations in zip(cell.graph.blocks, cell.blocks, strict=True):
        left, right = (run(operation, states[state]) for operation, state in zip(operations, block.states, strict=True))
        states.append(left + right)
    outputs = [cell.outputs[str(state)](states[state]) if str(state) in cell.outputs else states[state]
               for state in cell.graph.concat]
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize('name', ['nasnet_a_4_1056', 'amoebanet_c_mobile', 'pnasnet_5_mobile', 'enas_micro_cifar',
                                  'darts_v2_cifar'])
@pytest.mark.parametrize('kind', ['normal', 'reduce'])
def test_sharing_within_a_cell_changes_neither_outputs_nor_gradients(name, kind):
    value = zoo.load(name).plain()
    cell = build(read_cells(value)[kind], reduction=kind == 'reduce',
                 **{key: value[key] for key in ('inputs', 'strided_id', 'convs', 'pool_norm')})
    results = []
    for run in (cell, lambda *inputs: literal(cell, *inputs)):
        torch.manual_seed(1)
        inputs = maps((6, 9, 7), (8, 9, 7))
        output = run(*inputs)
        output.square().sum().backward()
        results.append([output, *(x.grad for x in inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_a_reduction_cell_strides_what_reads_its_inputs_and_nothing_else():
    cell = build(graph((0, 'sep3', 1, 'max3'), (2, 'sep3', 0, 'avg3'), concat=(2, 3)), reduction=True)
    strides = [[getattr(operation, 'first', operation)[0].stride for operation in block] for block in cell.blocks]
    assert strides == [[(2, 2), 2], [(1, 1), 2]]
    assert cell(*maps((6, 9, 8), (8, 9, 8))).shape == (2, 2 * WIDTH, 5, 4)


def test_inputs_in_the_output_of_a_reduction_cell_are_halved():
    cell = build(graph((0, 'id', 1, 'id'), concat=(1, 2)), reduction=True)
    assert isinstance(cell.outputs['1'], FactorizedReduction) and list(cell.outputs) == ['1']
    assert cell(*maps((6, 5, 5), (8, 5, 5))).shape == (2, 2 * WIDTH, 3, 3)


def test_the_very_first_cell_has_the_stem_as_it_is():
    cell = build(graph((0, 'sep3', 0, 'avg3'), (0, 'id', 1, 'id'), concat=(0, 2, 3)), in_channels=(None, 9))
    assert names(cell, 0) == [] and list(cell.outputs) == ['0']
    assert cell.outputs['0'].conv.in_channels == 9
    _, stem = maps((1, 1, 1), (9, 6, 6))
    assert cell(None, stem).shape == (2, 3 * WIDTH, 6, 6)


@pytest.mark.parametrize('inputs, in_channels, halve, first, second', [
    ('nasnet', (6, 8), False, ['project'], ['project']),
    ('nasnet', (WIDTH, WIDTH), False, [], ['project']),
    ('nasnet', (WIDTH, 8), True, ['reduction'], ['project']),
    ('darts', (WIDTH, WIDTH), False, ['project'], ['project']),
    ('darts', (6, 8), True, ['reduction'], ['project']),
    ('enas', (WIDTH, WIDTH), False, [], ['project']),
    ('enas', (6, 8), False, ['project'], ['project', 'relu', 'again'])])
def test_how_inputs_are_brought_to_the_width(inputs, in_channels, halve, first, second):
    cell = build(graph((0, 'id', 1, 'id')), in_channels, halve_first=halve, inputs=inputs)
    assert names(cell, 0) == first and names(cell, 1) == second
    size = 9 if halve else 5
    assert cell(*maps((in_channels[0], size, size), (in_channels[1], 5, 5))).shape == (2, WIDTH, 5, 5)


def test_an_input_that_nothing_reads_has_no_weights():
    cell = build(graph((1, 'sep3', 1, 'id')))
    assert names(cell, 0) == [] and names(cell, 1) == ['project']


def test_combining_by_concatenation():
    """What reads the concatenated state sees twice the width; in the output it is brought back to it."""
    cell = build(graph((0, 'id', 1, 'id', 'concat'), (2, 'sep3', 2, 'id'), concat=(2, 3)))
    assert cell.blocks[1][0].first.depthwise.in_channels == 2 * WIDTH
    assert cell.blocks[1][1].conv.in_channels == 2 * WIDTH
    assert cell.outputs['2'].conv.in_channels == 2 * WIDTH
    assert cell(*maps((6, 5, 5), (8, 5, 5))).shape == (2, 2 * WIDTH, 5, 5)


def test_drop_path_drops_whole_samples_of_one_operation_and_keeps_the_mean():
    cell = build(graph((1, 'id', 1, 'max3')))
    before, last = torch.zeros(400, 6, 3, 3, dtype=torch.float64), torch.zeros(400, 8, 3, 3, dtype=torch.float64)
    cell.inputs[1].project.norm.bias.data.fill_(1.0)      # state 1 is 1 everywhere
    cell.drop_prob = 0.4
    torch.manual_seed(0)
    output = cell(before, last)
    assert torch.equal(output, output[:, :1, :1, :1].expand_as(output))
    kept = output[:, 0, 0, 0] > 1
    torch.testing.assert_close(output[kept].unique(), torch.tensor([1 + 1 / 0.6], dtype=torch.float64))
    torch.testing.assert_close(output[~kept].unique(), torch.tensor([1.0], dtype=torch.float64))
    assert 0.5 < kept.double().mean() < 0.7
    assert cell.eval()(before, last).unique().numel() == 1


def test_the_parameters_of_darts_relaxed_network():
    """8 cells, C = 16: all 8 operations on all 14 edges, without affine parameters but for the stem's; 10 classes."""
    edges = [(first, node) for node in range(2, 6) for first in range(node)]
    operations = ('none', 'max3', 'avg3', 'id', 'sep3', 'sep5', 'dil3', 'dil5')
    dialect = Dialect('darts', 'relu_factorized', pool_norm=True, norm_cfg=dict(type='BN', affine=False))
    total, (before, last), halved = 3 * 48 * 9 + 2 * 48, (48, 48), False
    for slot in stack_of_cells((2, 2, 2), width=16, stem_cells=False):
        inputs = Cell(graph((0, 'id', 1, 'id')), (before, last), slot.width, False, halved, dialect)
        halved = slot.kind == 'reduce'
        mixed = [build_operation(name, slot.width, slot.width, 2 if halved and state < 2 else 1, dialect)
                 for state, _ in edges for name in operations]
        total += sum(parameter.numel() for module in (inputs, *mixed) for parameter in module.parameters())
        before, last = last, 4 * slot.width
    assert total + last * 10 + 10 == 1_930_618
