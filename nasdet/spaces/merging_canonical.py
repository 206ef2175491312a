"""One order and one spelling for all NAS-FPN genotypes that are the same network.

Two genotypes are the same network when their cells merge the same features, whatever their order: the features that
the rule for unused features adds included, which depend on the order (authors' code of NAS-FPN, arXiv:1904.07392).
Three things are free:

- the order of cells, as long as every cell keeps what it merges and what it adds as unused, and (where an extra
  projection of the second input is for all its consumers but the first) the first consumer stays the first;
- in a sum, which two of the summed features are the operands and which are added as unused;
- nothing in ``gp``, but that operands of equal level keep their order.
"""

from typing import TYPE_CHECKING, Optional, Sequence

if TYPE_CHECKING:
    from nasdet.models.layers.merging import Cell

Spelling = tuple[int, str, tuple[int, int]]     # level, op, inputs


def canonical_cells(cells: Sequence['Cell'], levels: Sequence[int], extra_projection: bool = False) -> list[Spelling]:
    """Return the lexicographically smallest spelling of a network.

    Args:
        cells: Cells with their unused features resolved.
        levels: Levels of the pyramid inputs.
        extra_projection: Whether the first consumer of the second input reads another map than its later ones.

    Returns:
        (level, op, inputs) of each cell in its new place; the intermediate cells still come first.
    """
    network = _Network(cells, levels, extra_projection)
    spelled = network.spell({offset: offset for offset in range(len(levels))}, frozenset())
    assert spelled is not None, 'the given order is itself a spelling'
    return spelled


class _Network:
    """Cells by their original offset, and what has to stand before each."""

    def __init__(self, cells: Sequence['Cell'], levels: Sequence[int], extra_projection: bool):
        first = len(levels)
        self.cells = {first + index: cell for index, cell in enumerate(cells)}
        self.level = {**dict(enumerate(levels)), **{offset: cell.level for offset, cell in self.cells.items()}}
        self.terms = {offset: {*cell.inputs, *cell.unused} for offset, cell in self.cells.items()}
        intermediate = {offset for offset, cell in self.cells.items() if not cell.output}
        self.before = {offset: self.terms[offset] | (intermediate if cell.output else set())
                       for offset, cell in self.cells.items()}
        for cell in cells:
            low, high = cell.inputs
            if cell.op == 'gp' and self.level[low] == self.level[high] and high in self.cells:
                self.before[high] = self.before[high] | {low}
        consumers = [offset for offset, terms in self.terms.items() if 1 in terms]
        for later in consumers[1:] if extra_projection else ():
            self.before[later] = self.before[later] | {consumers[0]}

    def spell(self, placed: dict[int, int], consumed: frozenset) -> Optional[list[Spelling]]:
        """Return the smallest way to go on, or None where there is none.

        Args:
            placed: New offset of each feature placed so far, by its original offset.
            consumed: Original offsets of the features that a placed cell has merged or added.
        """
        if len(placed) == len(self.level):
            return []
        options: dict[Spelling, list[int]] = {}
        for offset, cell in self.cells.items():
            if offset not in placed and self.before[offset] <= placed.keys():
                inputs = self._inputs(offset, placed, consumed)
                if inputs is not None:
                    options.setdefault((cell.level, cell.op, inputs), []).append(offset)
        for option in sorted(options):
            tails = [self.spell({**placed, offset: len(placed)}, consumed | self.terms[offset])
                     for offset in options[option]]
            tails = [tail for tail in tails if tail is not None]
            if tails:
                return [option, *min(tails)]
        return None

    def _inputs(self, offset: int, placed: dict[int, int], consumed: frozenset) -> Optional[tuple[int, int]]:
        """Return the inputs, as new offsets, with which a cell placed now merges and adds what it should, or None."""
        cell, terms = self.cells[offset], self.terms[offset]
        idle = {other for other in placed if cell.output and self.level[other] == cell.level and other not in consumed}
        if not idle <= terms:
            return None
        operands = terms - idle if cell.op == 'sum' else set(cell.inputs)
        if len(operands) > 2 or not terms - operands <= idle:
            return None
        spare = sorted(idle - operands, key=placed.get) if cell.op == 'sum' else []
        chosen = [*operands, *spare[:2 - len(operands)]]
        return tuple(sorted(placed[other] for other in chosen))
