"""A cell as a graph for drawing."""

from collections import defaultdict
from typing import Mapping

from nasdet.spaces.base import Graph
from nasdet.spaces.cells_canonical import read_nodes


def draw_cell(name: str, cell: Mapping, row: float) -> tuple[Graph, int]:
    """Return a cell from its inputs on the left to its output on the right, and how many rows it takes.

    Args:
        name: Of the cell; ids of nodes begin with it.
        cell: ``blocks`` and ``concat`` of a cell of a genotype.
        row: The lowest row that it may take.
    """
    labels = {0: f'{name}: h(k-2)', 1: f'{name}: h(k-1)'}
    columns, ops = {0: 0, 1: 0}, defaultdict(list)
    for state, node in enumerate(read_nodes(cell), start=2):
        labels[state] = f'{state}' if node.combine == 'add' else f'{state}: {node.combine}'
        columns[state] = 1 + max(columns[source] for source, _ in node.halves)
        for source, op in node.halves:
            ops[source, state].append(op)
    places = defaultdict(list)
    for state, column in columns.items():
        places[column].append(state)
    height = max(map(len, places.values()))
    graph = Graph()
    for state, label in labels.items():
        rank = places[columns[state]].index(state)
        graph.nodes.append(dict(id=f'{name}.{state}', label=label, column=columns[state], row=row + height - 1 - rank,
                                kind='input' if state < 2 else 'block'))
    graph.nodes.append(dict(id=f'{name}.output', label='output', column=max(places) + 1, row=row + (height - 1) / 2,
                            kind='output'))
    graph.edges.extend((f'{name}.{source}', f'{name}.{state}', ' + '.join(said))
                       for (source, state), said in ops.items())
    graph.edges.extend((f'{name}.{state}', f'{name}.output', '') for state in cell['concat'])
    return graph, height
