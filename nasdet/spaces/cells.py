"""Search spaces of cells: what all of them share.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1.
"""

import copy
import math
from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from typing import Mapping, Optional, Sequence

import numpy as np
from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.spaces import detector
from nasdet.spaces.base import Choice, Graph, Space
from nasdet.spaces.cells_canonical import INPUTS, Node, canonical_cell, read_nodes, write_cell
from nasdet.spaces.cells_drawing import draw_cell

CONCATS = ('unused', 'unused_blocks', 'blocks', 'free')
DIALECT = ('inputs', 'strided_id', 'convs', 'pool_norm')


class CellSpace(Space):
    """What the cells of a network compute; how many there are, and how wide, the network's skeleton says.

    A cell is a list of blocks. Each reads two of the states before it (the cell's two inputs, and what earlier blocks
    have made), applies an operation to each, and combines the results. Its decisions are the two states, the two
    operations, and the combination where there is a choice.

    Args:
        num_blocks: Blocks of a cell.
        ops: Operations to choose from.
        dialect: What :class:`~nasdet.models.layers.cells.dialect.Dialect` says of the genotype: ``inputs``,
            ``strided_id``, ``convs``, ``pool_norm``.
        concat: Which states the cell's output is made of: those that no block reads, with the cell's inputs
            (``'unused'``) or without (``'unused_blocks'``), what all blocks make (``'blocks'``), or one more decision
            for each state (``'free'``), which is forced where no block reads the state of a block.
        combines: Combinations to choose from: ``'add'``, ``'concat'``.
        cells: Which cells are searched: ``('normal', 'reduce')``, or ``('normal',)`` where reduction cells are the
            same one.
        distinct: Whether the two states of a block are different ones; they are one decision then.
        fewest_blocks: Where cells may be smaller, the fewest blocks; their number is the first decision then.
        backbone: Arguments of :class:`~nasdet.models.backbones.CellNetwork` for the skeleton, such as ``num_cells``,
            ``width`` and ``stem``. What it does not say is as in the config's own backbone, if that is a CellNetwork.

    Raises:
        ValueError: An argument is none of these.
    """

    def __init__(self, num_blocks: int, ops: Sequence[str], dialect: Mapping, concat: str = 'unused',
                 combines: Sequence[str] = ('add',), cells: Sequence[str] = ('normal', 'reduce'),
                 distinct: bool = False, fewest_blocks: Optional[int] = None, backbone: Optional[Mapping] = None):
        self.ops, self.combines, self.cells = tuple(ops), tuple(combines), tuple(cells)
        self.concat, self.distinct = concat, distinct
        self.dialect = dict(dialect)
        self.backbone = dict(backbone or {})
        self.sizes = tuple(range(num_blocks if fewest_blocks is None else fewest_blocks, num_blocks + 1))
        self._check_arguments()
        states = tuple(range(INPUTS + num_blocks - 1))
        words = dict(blocks=self.sizes, state=states, op=self.ops, combine=self.combines, concat=(False, True),
                     pair=tuple((low, high) for high in states for low in range(high)))
        self._layouts = {size: self._layout(size) for size in self.sizes}
        used = {choice.kind for layout in self._layouts.values() for choice in layout}
        self.vocab = {kind: known for kind, known in words.items() if kind in used}

    def _check_arguments(self) -> None:
        from nasdet.models.layers.cells import OPERATIONS, check_genotype  # brings torch and mmdet
        if not self.sizes or self.sizes[0] < 1:
            raise ValueError('a cell has at least one block, and fewest_blocks is at most num_blocks')
        for name, given, known in (('ops', self.ops, OPERATIONS), ('combines', self.combines, ('add', 'concat'))):
            if not given or not set(given) <= set(known) or len(set(given)) < len(given):
                raise ValueError(f'{name} are different ones of {", ".join(known)}, at least one, not {list(given)}')
        if self.concat not in CONCATS:
            raise ValueError(f'concat is one of {CONCATS}, not {self.concat!r}')
        first = self.ops[0]
        check_genotype(dict(self.dialect, normal=write_cell([Node(((0, first), (1, first)))], [2])))
        derived = {'type', 'genotype'} & self.backbone.keys()
        if derived:
            raise ValueError(f'backbone: {sorted(derived)[0]} follows from the space, so leave it out')

    # ---- an architecture as decisions

    def _layout(self, size: int) -> tuple[Choice, ...]:
        """Return the decisions of cells of one size; of ``concat`` ones :meth:`choices` says what is legal."""
        layout = [Choice('blocks', 'blocks', tuple(range(len(self.sizes))))] if len(self.sizes) > 1 else []
        ops, combines = tuple(range(len(self.ops))), tuple(range(len(self.combines)))
        for cell in self.cells:
            for index in range(size):
                states = INPUTS + index
                decisions = [('state1', 'state', tuple(range(states))), ('state2', 'state', tuple(range(states)))]
                if self.distinct:
                    decisions = [('states', 'pair', tuple(range(math.comb(states, 2))))]
                decisions += [('op1', 'op', ops), ('op2', 'op', ops)]
                decisions += [('combine', 'combine', combines)] if len(self.combines) > 1 else []
                layout += [Choice(f'{cell}.block{index}.{name}', kind, legal) for name, kind, legal in decisions]
            if self.concat == 'free':
                layout += [Choice(f'{cell}.concat{state}', 'concat', (0, 1)) for state in range(INPUTS + size)]
        return tuple(layout)

    def choices(self, prefix: tuple[int, ...]) -> Optional[Choice]:
        """Return the decision after ``prefix``: block by block, the normal cell first."""
        size = self.sizes[prefix[0]] if len(self.sizes) > 1 and prefix else self.sizes[-1]
        layout = self._layouts[size]
        if len(prefix) == len(layout):
            return None
        choice = layout[len(prefix)]
        if choice.kind == 'concat':
            cell, _, state = choice.name.partition('.concat')
            if int(state) >= INPUTS and int(state) not in self._read_by(cell, prefix, layout):
                return replace(choice, legal=(1,))
        return choice

    def _read_by(self, cell: str, prefix: tuple[int, ...], layout: tuple[Choice, ...]) -> set[int]:
        """Return the states that the blocks of a cell read."""
        words = [self.vocab[choice.kind][token] for choice, token in zip(layout, prefix, strict=False)
                 if choice.kind in ('state', 'pair') and choice.name.startswith(f'{cell}.')]
        return {state for word in words for state in (word if self.distinct else (word,))}

    def decode(self, tokens: tuple[int, ...]) -> Genotype:
        """Return the genotype of a complete token sequence."""
        words = {choice.name: self.vocab[choice.kind][token] for choice, token in self.walk(tuple(tokens))}
        if self.choices(tuple(tokens)) is not None:
            raise ValueError(f'{self.name}: {len(words)} tokens are not a complete architecture')
        size = words.get('blocks', self.sizes[-1])
        return self._genotype({cell: self._cell(cell, words, size) for cell in self.cells})

    def _cell(self, cell: str, words: Mapping, size: int) -> dict:
        """Return the value of a cell whose decisions are given by name."""
        nodes = []
        for block in (f'{cell}.block{index}' for index in range(size)):
            states = words[f'{block}.states'] if self.distinct else (words[f'{block}.state1'], words[f'{block}.state2'])
            halves = zip(states, (words[f'{block}.op1'], words[f'{block}.op2']), strict=True)
            nodes.append(Node(tuple(halves), words.get(f'{block}.combine', self.combines[0])))
        if self.concat == 'free':
            return write_cell(nodes, [state for state in range(INPUTS + size) if words[f'{cell}.concat{state}']])
        return write_cell(nodes, self._output(nodes))

    def _output(self, nodes: Sequence[Node]) -> list[int]:
        """Return the states that the rule ``concat`` makes the output of."""
        states = range(0 if self.concat == 'unused' else INPUTS, INPUTS + len(nodes))
        read = {state for node in nodes for state, _ in node.halves}
        return [state for state in states if self.concat == 'blocks' or state not in read]

    def _genotype(self, cells: Mapping[str, Mapping]) -> Genotype:
        return Genotype(self.name, {**cells, **self.dialect})

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Return tokens of a genotype; ValueError where this space does not hold it."""
        words = self._words(genotype)
        tokens: tuple[int, ...] = ()
        while (choice := self.choices(tokens)) is not None:
            word, vocabulary = words[choice.name], self.vocab[choice.kind]
            if word not in vocabulary or vocabulary.index(word) not in choice.legal:
                legal = [vocabulary[token] for token in choice.legal]
                raise ValueError(f'{choice.name} is {word!r}, but this space allows {legal}')
            tokens += (vocabulary.index(word),)
        return tokens

    def _words(self, genotype: Genotype) -> dict:
        """Return what a genotype says for each decision, by its name."""
        value = self._checked(genotype)
        words = dict(blocks=len(value['normal']['blocks']))
        for cell in self.cells:
            nodes, concat = read_nodes(value[cell]), value[cell]['concat']
            for index, node in enumerate(nodes):
                first, second = sorted(node.halves) if self.distinct else node.halves
                said = dict(states=(first[0], second[0]), state1=first[0], state2=second[0], op1=first[1],
                            op2=second[1], combine=node.combine)
                words.update({f'{cell}.block{index}.{name}': word for name, word in said.items()})
            words.update({f'{cell}.concat{state}': state in concat for state in range(INPUTS + len(nodes))})
        return words

    def _checked(self, genotype: Genotype) -> dict:
        """Return the plain value of a genotype that has this space's cells, sizes and dialect."""
        from nasdet.models.layers.cells import check_genotype
        check_genotype(genotype.value)
        value = genotype.plain()
        said = tuple(cell for cell in ('normal', 'reduce') if cell in value)
        if said != self.cells:
            raise ValueError(f'this space has the cells {list(self.cells)}, the genotype {list(said)}')
        for name in DIALECT:
            if value[name] != self.dialect[name]:
                raise ValueError(f'this space has {name}={self.dialect[name]!r}, the genotype {value[name]!r}')
        sizes = {len(value[cell]['blocks']) for cell in self.cells}
        if len(sizes) > 1 or not sizes <= set(self.sizes):
            raise ValueError(f'cells of this space have {" or ".join(map(str, self.sizes))} blocks, those of the '
                             f'genotype {" and ".join(map(str, sorted(sizes)))}')
        for cell in self.cells:
            self._check_blocks(cell, value[cell])
        return value

    def _check_blocks(self, cell: str, value: Mapping) -> None:
        nodes, concat = read_nodes(value), sorted(value['concat'])
        for index, node in enumerate(nodes):
            if node.combine not in self.combines:
                raise ValueError(f'{cell}.block{index} combines by {node.combine!r}, but this space allows '
                                 f'{list(self.combines)}')
        if self.concat != 'free' and concat != self._output(nodes):
            raise ValueError(f'the {cell} cell concatenates {concat}, but concat={self.concat!r} of this space makes '
                             f'it {self._output(nodes)}')

    def canonical(self, genotype: Genotype) -> Genotype:
        """Return the one genotype for all whose cells differ in the order of halves and of blocks only."""
        value = self._checked(genotype)
        return self._genotype({cell: canonical_cell(value[cell]) for cell in self.cells})

    def size(self) -> int:
        """Return the number of genotypes, before symmetries."""
        return sum(self._cells_of(size) ** len(self.cells) for size in self.sizes)

    def _cells_of(self, size: int) -> int:
        """Return the number of cells of one size."""
        read = Counter({frozenset(): 1})    # blocks read so far: in how many ways
        for states in range(INPUTS, INPUTS + size):
            pairs = list(combinations(range(states), 2) if self.distinct else product(range(states), repeat=2))
            following = Counter()
            for blocks, ways in read.items():
                for pair in pairs:
                    following[blocks | {state for state in pair if state >= INPUTS}] += ways
            read = following
        per_block = len(self.ops) ** 2 * len(self.combines)
        free = {blocks: INPUTS + len(blocks) if self.concat == 'free' else 0 for blocks in read}
        return per_block ** size * sum(ways * 2 ** free[blocks] for blocks, ways in read.items())

    # ---- the bridge to MMDetection

    def apply(self, genotype: Genotype, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone has the genotype, and whose neck reads that backbone.

        A classifier's backbone either has the head (``num_classes``), or the classifier's linear layer reads its last
        map.

        Args:
            genotype: One of this space.
            model: A detector's or a classifier's model config; it is not changed.

        Raises:
            ValueError: The genotype is of another space, nothing says the skeleton, or nothing could read its maps.
        """
        self.encode(genotype)
        return self._with_backbone(model, dict(self._skeleton(model), type='CellNetwork', genotype=genotype.plain()))

    def _with_backbone(self, model: Mapping, backbone: dict) -> ConfigDict:
        """Return a new model config with a backbone, and with a neck or linear layer that reads it."""
        if backbone.get('num_classes') is None:
            return detector.replace_backbone(model, backbone, _channels(backbone))
        return ConfigDict(copy.deepcopy({**model, 'backbone': backbone}))

    def _skeleton(self, model: Mapping) -> dict:
        """Return the arguments of the network around the cells; ValueError where its depth or width is none."""
        from nasdet.models.layers.cells import check_skeleton  # brings torch and mmdet
        own = model.get('backbone') or {}
        skeleton = {**(own if own.get('type') == 'CellNetwork' else {}), **self.backbone}
        for name in ('num_cells', 'width'):
            if name not in skeleton:
                raise ValueError(f'nothing says {name} of the network: give the space backbone=dict({name}=...), or '
                                 f'the model a CellNetwork as its backbone')
        check_skeleton(skeleton['num_cells'], skeleton['width'], skeleton.get('stem', 'cifar'))
        return detector.without_weights(skeleton)

    def check_model(self, model: Mapping) -> None:
        """Raise ValueError where neck or heads do not fit a backbone of this space."""
        applied = self.apply(self.sample(np.random.default_rng(0)), model)
        detector.check(applied)
        detector.check_channels(applied)

    # ---- for drawing

    def graph(self, genotype: Genotype) -> Graph:
        """Return the cells below each other, each from its inputs to its output."""
        graph, row = Graph(), 0
        for cell in reversed(self.cells):       # row 0 is the lowest
            drawn, height = draw_cell(cell, genotype.value[cell], row)
            graph.nodes.extend(drawn.nodes)
            graph.edges.extend(drawn.edges)
            row += height
        return graph


def _channels(backbone: Mapping) -> Sequence[int]:
    """Return the channels of all maps that a network of cells can give."""
    from nasdet.models.meta import build_on_meta
    maps = tuple(range(len(backbone['num_cells']) + 1))
    return build_on_meta({**backbone, 'out_indices': maps}).out_channels
