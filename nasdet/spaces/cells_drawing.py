"""A cell as a graph for drawing."""

from collections import defaultdict
from typing import Mapping

from nasdet.spaces.base import Graph
from nasdet.spaces.cells_canonical import Node, read_nodes

SIGNS = dict(add=' + ', concat=' | ')


def draw_cell(name: str, cell: Mapping, row: float) -> tuple[Graph, int]:
    """Return a cell from its inputs on the left to its output on the right, and how many rows it takes.

    A block is labelled with its state and its operations, each with the state that it reads: ``2: sep5(1) + sep3(0)``.

    Args:
        name: Of the cell; ids of nodes begin with it.
        cell: ``blocks`` and ``concat`` of a cell of a genotype.
        row: The lowest row that it may take.
    """
    nodes = dict(enumerate(read_nodes(cell), start=2))
    columns, places = {0: 0, 1: 0}, defaultdict(list, {0: [0, 1]})
    for state, node in nodes.items():
        columns[state] = 1 + max(columns[source] for source, _ in node.halves)
        places[columns[state]].append(state)
    height = max(map(len, places.values()))
    labels = {0: f'{name} 0: h(k-2)', 1: f'{name} 1: h(k-1)', **{state: _label(state, nodes[state]) for state in nodes}}
    graph = Graph()
    for state, label in labels.items():
        column = places[columns[state]]
        graph.nodes.append(dict(id=f'{name}.{state}', label=label, column=columns[state],
                                row=row + (height + len(column)) / 2 - 1 - column.index(state),
                                kind='input' if state < 2 else 'block'))
    graph.nodes.append(dict(id=f'{name}.output', label='output', column=max(places) + 1, row=row + (height - 1) / 2,
                            kind='output'))
    edges = dict.fromkeys((source, state) for state, node in nodes.items() for source, _ in node.halves)
    graph.edges.extend((f'{name}.{source}', f'{name}.{state}', '') for source, state in edges)
    graph.edges.extend((f'{name}.{state}', f'{name}.output', '') for state in cell['concat'])
    return graph, height


def _label(state: int, node: Node) -> str:
    return f'{state}: ' + SIGNS[node.combine].join(f'{op}({source})' for source, op in node.halves)
