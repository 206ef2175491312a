"""NAS-Bench-201 as a search space: a cell of four nodes and six edges, each edge one of five operations.

Dong, Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020,
arXiv:2001.00326, section 2.1.
"""

from typing import Optional

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces.base import Choice, Graph, Space

OPS = ('none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3')
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))       # (node, its input), in the order of the cell's string


@SPACES.register_module()
class NasBench201Space(Space):
    """Every cell of NAS-Bench-201; the genotype's value is ``dict(ops=[one op an edge])``."""

    vocab = dict(op=OPS)

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the op of the next edge."""
        if len(prefix) == len(EDGES):
            return None
        node, source = EDGES[len(prefix)]
        return Choice(f'edge{source}-{node}.op', 'op', tuple(range(len(OPS))))

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the cell of six tokens."""
        ops = [OPS[token] for _, token in self.walk(tokens)]
        if len(ops) != len(EDGES):
            raise ValueError(f'a cell of NAS-Bench-201 has {len(EDGES)} edges, not {len(ops)}')
        return Genotype(self.name, dict(ops=ops))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the six tokens of a cell."""
        ops = genotype.value.get('ops', ())
        if len(ops) != len(EDGES) or not set(ops) <= set(OPS):
            raise ValueError(f'a cell of NAS-Bench-201 has {len(EDGES)} ops out of {OPS}, not {list(ops)}')
        return tuple(OPS.index(op) for op in ops)

    def row(self, genotype: Genotype) -> str:
        """Return the cell's string in the benchmark's table: ``'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'``."""
        ops = iter(genotype.value['ops'])
        nodes = ['|'.join(f'{next(ops)}~{source}' for source in range(node)) for node in (1, 2, 3)]
        return '+'.join(f'|{node}|' for node in nodes)

    def graph(self, genotype: Genotype) -> Graph:
        """Return the cell with its ops as labels of the edges."""
        edges = zip(EDGES, genotype.value['ops'], strict=True)
        nodes = [dict(id=i, label=f'node {i}', column=i) for i in range(4)]
        return Graph(nodes, [(source, node, op) for (node, source), op in edges])

    def size(self) -> int:
        """Return 15,625."""
        return len(OPS) ** len(EDGES)
