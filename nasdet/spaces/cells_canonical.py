"""One order and one spelling for all cells that are the same network.

Two cells are the same network, but for the order of channels, when one follows from the other by swapping the halves of
blocks and by another order of blocks (Liu et al., Progressive Neural Architecture Search, ECCV 2018, arXiv:1712.00559,
section 4.1, counts cells so).
"""

from typing import Mapping, NamedTuple, Sequence

INPUTS = 2      # states of a cell before its first block


class Node(NamedTuple):
    """A block of a cell as the genotype has it.

    Args:
        halves: The state and the operation of each half.
        combine: ``'add'`` or ``'concat'``.
    """

    halves: tuple[tuple[int, str], tuple[int, str]]
    combine: str = 'add'


class Spelling(NamedTuple):
    """A block in its new place; spellings are compared element by element."""

    halves: tuple[tuple[int, str], ...]
    combine: str
    in_output: bool


def read_nodes(cell: Mapping) -> list[Node]:
    """Return the blocks of a cell, such as ``[1, 'sep5', 0, 'sep3']`` of its value."""
    return [Node(((block[0], block[1]), (block[2], block[3])), *block[4:]) for block in cell['blocks']]


def write_cell(nodes: Sequence[Node], concat: Sequence[int]) -> dict:
    """Return the value of a cell; that the halves of a block are added is not written."""
    blocks = [[*node.halves[0], *node.halves[1], *([node.combine] if node.combine != 'add' else [])] for node in nodes]
    return dict(blocks=blocks, concat=list(concat))


def canonical_cell(cell: Mapping) -> dict:
    """Return the cell whose spelling is the smallest of all that are the same network.

    Args:
        cell: ``blocks`` and ``concat`` of a cell of a genotype.
    """
    concat = set(cell['concat'])
    nodes = {INPUTS + index: node for index, node in enumerate(read_nodes(cell))}
    spelled = _smallest(nodes, concat, {state: state for state in range(INPUTS)})
    outputs = [INPUTS + index for index, spelling in enumerate(spelled) if spelling.in_output]
    inputs = [state for state in range(INPUTS) if state in concat]
    return write_cell([Node(spelling.halves, spelling.combine) for spelling in spelled], inputs + outputs)


def _smallest(nodes: Mapping[int, Node], concat: set, placed: Mapping[int, int]) -> tuple[Spelling, ...]:
    """Return the smallest way to spell the blocks that have no place yet.

    Args:
        nodes: Blocks by their original state.
        concat: Original states of the cell's output.
        placed: New state of each placed one, by its original state.
    """
    options: dict[Spelling, list[int]] = {}
    for state, node in nodes.items():
        if state not in placed and all(read in placed for read, _ in node.halves):
            halves = tuple(sorted((placed[read], op) for read, op in node.halves))
            options.setdefault(Spelling(halves, node.combine, state in concat), []).append(state)
    if not options:
        return ()
    first = min(options)
    tails = [_smallest(nodes, concat, {**placed, state: len(placed)}) for state in options[first]]
    return (first, *min(tails))
