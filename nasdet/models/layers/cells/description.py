"""What a cell genotype says: the graph of each cell.

State 0 of a cell is the output of the cell before the previous one, state 1 that of the previous one, and state 2 + i
the output of block i.
"""

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from nasdet.models.layers.cells.dialect import CONVS, INPUTS, STRIDED_IDS
from nasdet.models.layers.cells.operations import OPERATIONS

COMBINES = ('add', 'concat')
REQUIRED = ('normal', 'inputs', 'strided_id', 'convs', 'pool_norm')
OPTIONAL = ('reduce',)


@dataclass(frozen=True)
class Block:
    """A node of a cell: two earlier states, an operation on each, and how the results are combined.

    Args:
        states: The two states read.
        ops: Name of the operation on each.
        combine: ``'add'`` or ``'concat'`` (along the channels).
    """

    states: tuple[int, int]
    ops: tuple[str, str]
    combine: str = 'add'


@dataclass(frozen=True)
class CellGraph:
    """A cell as a directed acyclic graph.

    Args:
        blocks: In order; block i makes state 2 + i.
        concat: The states that the cell's output is made of, in order; inputs and consumed states are allowed.
    """

    blocks: tuple[Block, ...]
    concat: tuple[int, ...]

    @property
    def used(self) -> set[int]:
        """The states that a block reads or that belong to the output."""
        return {state for block in self.blocks for state in block.states} | set(self.concat)


def read_cells(genotype: Mapping) -> dict[str, CellGraph]:
    """Check a genotype and return its cells.

    Args:
        genotype: Plain value of a cell genotype: ``normal`` and perhaps ``reduce`` (without it the normal cell with
            stride 2), each with ``blocks``, such as ``[1, 'sep5', 0, 'sep3']`` with ``'concat'`` as a fifth element
            where the two are not added, and ``concat``; and ``inputs``, ``strided_id``, ``convs``, ``pool_norm`` as
            :class:`~nasdet.models.layers.cells.dialect.Dialect` explains them.

    Returns:
        The graphs under ``'normal'`` and ``'reduce'``.

    Raises:
        ValueError: It is no such genotype; the message says where.
    """
    check_genotype(genotype)
    normal = _graph(genotype['normal'])
    return dict(normal=normal, reduce=_graph(genotype['reduce']) if 'reduce' in genotype else normal)


def check_genotype(genotype: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping describes cells."""
    if not isinstance(genotype, Mapping) or not set(REQUIRED) <= set(genotype) <= {*REQUIRED, *OPTIONAL}:
        raise ValueError(f'a cell genotype has the keys {", ".join(REQUIRED)}, and may have {", ".join(OPTIONAL)}, '
                         f'not {genotype!r}')
    for name, known in (('inputs', INPUTS), ('strided_id', STRIDED_IDS), ('convs', CONVS),
                        ('pool_norm', (True, False))):
        if genotype[name] not in known:
            raise ValueError(f'{name} is one of {known}, not {genotype[name]!r}')
    for name in ('normal', 'reduce'):
        if name in genotype:
            _check_cell(name, genotype[name])


def is_index(value: Any, number: int) -> bool:
    """Return whether what a genotype says is one of the whole numbers below ``number``, from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value in range(number)


def _check_cell(name: str, cell: Any) -> None:
    if not isinstance(cell, Mapping) or set(cell) != {'blocks', 'concat'}:
        raise ValueError(f'the {name} cell has the keys blocks and concat, not {cell!r}')
    for part in ('blocks', 'concat'):
        if not isinstance(cell[part], (list, tuple)):
            raise ValueError(f'{part} of the {name} cell is a list, not {cell[part]!r}')
    for index, block in enumerate(cell['blocks']):
        _check_block(f'{name} cell, block {index}', block, states=2 + index)
    states, concat = 2 + len(cell['blocks']), list(cell['concat'])
    if not concat or not all(is_index(state, states) for state in concat) or len(set(concat)) < len(concat):
        raise ValueError(f'{name} cell: concat lists different states below {states}, at least one, not {concat}')
    idle = sorted(set(range(2, states)) - _graph(cell).used)
    if idle:
        raise ValueError(f'{name} cell: nothing uses the states {idle}: put them into concat, or leave their blocks '
                         f'out')


def _check_block(where: str, block: Any, states: int) -> None:
    if not isinstance(block, Sequence) or isinstance(block, str) or len(block) not in (4, 5):
        raise ValueError(f"{where} is a list such as [1, 'sep5', 0, 'sep3'], not {block!r}")
    for state, op in (block[0:2], block[2:4]):
        if not is_index(state, states):
            raise ValueError(f'{where} reads one of the states 0 to {states - 1}, not {state!r}')
        if op not in tuple(OPERATIONS):
            raise ValueError(f'{where}: {op!r} is not one of the operations {", ".join(OPERATIONS)}')
    if len(block) == 5 and block[4] not in COMBINES:
        raise ValueError(f'{where}: combine is one of {COMBINES}, not {block[4]!r}')


def _graph(cell: Mapping) -> CellGraph:
    blocks = tuple(Block((block[0], block[2]), (block[1], block[3]), *block[4:]) for block in cell['blocks'])
    return CellGraph(blocks, tuple(cell['concat']))
