"""The cell spaces of NASNet, AmoebaNet, PNAS, ENAS and DARTS.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012; Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019,
arXiv:1802.01548; Liu, Zoph, Neumann, Shlens, Hua, Li, Fei-Fei, Yuille, Huang, Murphy: Progressive Neural Architecture
Search. ECCV 2018, arXiv:1712.00559; Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter
Sharing. ICML 2018, arXiv:1802.03268; Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019,
arXiv:1806.09055.
"""

import copy
from itertools import combinations_with_replacement, product
from typing import Iterator, Mapping, Optional, Sequence

from mmengine.config import ConfigDict

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces.cells import CellSpace
from nasdet.spaces.cells_canonical import INPUTS, Node, canonical_cell, read_nodes, write_cell

NASNET_OPS = ('id', 'conv13_31', 'conv17_71', 'dil3', 'avg3', 'max3', 'max5', 'max7', 'conv1', 'conv3', 'sep3', 'sep5',
              'sep7')
AMOEBANET_OPS = ('id', 'sep3', 'sep5', 'sep7', 'avg3', 'max3', 'dil3', 'conv17_71')
PNAS_OPS = ('sep3', 'sep5', 'sep7', 'conv17_71', 'id', 'avg3', 'max3', 'dil3')
ENAS_OPS = ('sep3', 'sep5', 'avg3', 'max3', 'id')
DARTS_OPS = ('max3', 'avg3', 'id', 'sep3', 'sep5', 'dil3', 'dil5')
NASNET_DIALECT = dict(inputs='nasnet', strided_id='relu_conv', convs='plain', pool_norm=False)
AMOEBANET_DIALECT = dict(NASNET_DIALECT, convs='bottleneck')
ENAS_DIALECT = dict(NASNET_DIALECT, inputs='enas', strided_id='factorized')
DARTS_DIALECT = dict(NASNET_DIALECT, inputs='darts', strided_id='relu_factorized')

# What ENAS's shared network takes over from the network around the cells.
SHARED_SKELETON = ('num_cells', 'width', 'num_classes', 'stem_channels', 'auxiliary', 'auxiliary_head', 'dropout',
                   'fc_bias', 'init_cfg')
# What DARTS's relaxation does.
RELAXED_SKELETON = ('num_cells', 'width', 'stem', 'stem_channels', 'out_indices', 'num_classes', 'dropout', 'fc_bias',
                    'final_relu', 'skip_reduction_input', 'padding', 'norm_cfg', 'init_cfg')


@SPACES.register_module()
class NASNetSpace(CellSpace):
    """NASNet's normal and reduction cell (arXiv:1707.07012, section 3.1 and figure 2).

    The published NASNet-A concatenates two states that its blocks read: it lies in the space with ``concat='free'``.

    Args:
        num_blocks: Blocks of a cell.
        ops: Operations to choose from.
        combines: Combinations to choose from: ``'add'``, ``'concat'``.
        concat: What a cell's output is made of (:class:`CellSpace`).
        dialect: Variants of the layers that are not NASNet's own, such as ``dict(convs='bottleneck')``.
        backbone: The network's skeleton (:class:`CellSpace`).
    """

    def __init__(self, num_blocks: int = 5, ops: Sequence[str] = NASNET_OPS,
                 combines: Sequence[str] = ('add', 'concat'), concat: str = 'unused',
                 dialect: Optional[Mapping] = None, backbone: Optional[Mapping] = None):
        super().__init__(num_blocks, ops, {**NASNET_DIALECT, **(dialect or {})}, concat, combines, backbone=backbone)


@SPACES.register_module()
class AmoebaNetSpace(CellSpace):
    """AmoebaNet's cells: NASNet's, whose halves are always added (arXiv:1802.01548, section "Search Space").

    The operations are those of the paper's main experiment (SP-I). The published AmoebaNets concatenate states that
    their blocks read: they lie in spaces with ``concat='free'``. :meth:`mutate` is the paper's mutation of a hidden
    state or an operation; its third one, the identity, is an argument of ``EvolutionSearcher``.

    Args:
        num_blocks: Blocks of a cell.
        ops: Operations to choose from.
        concat: What a cell's output is made of (:class:`CellSpace`).
        dialect: Variants of the layers that are not those of the authors' code, such as ``dict(convs='plain')``.
        backbone: The network's skeleton (:class:`CellSpace`).
    """

    def __init__(self, num_blocks: int = 5, ops: Sequence[str] = AMOEBANET_OPS, concat: str = 'unused',
                 dialect: Optional[Mapping] = None, backbone: Optional[Mapping] = None):
        super().__init__(num_blocks, ops, {**AMOEBANET_DIALECT, **(dialect or {})}, concat, backbone=backbone)


@SPACES.register_module()
class PNASSpace(CellSpace):
    """The cells of up to so many blocks of progressive search; reduction cells are the same (arXiv:1712.00559, 3).

    Args:
        num_blocks: Most blocks of a cell.
        ops: Operations to choose from.
        concat: What a cell's output is made of (:class:`CellSpace`): ``'blocks'`` as the authors' networks, or
            ``'unused_blocks'`` as the paper's text.
        dialect: Variants of the layers that are not those of the authors' code, such as ``dict(convs='bottleneck')``.
        backbone: The network's skeleton (:class:`CellSpace`).
    """

    def __init__(self, num_blocks: int = 5, ops: Sequence[str] = PNAS_OPS, concat: str = 'blocks',
                 dialect: Optional[Mapping] = None, backbone: Optional[Mapping] = None):
        if concat not in ('blocks', 'unused_blocks'):
            raise ValueError(f"concat of cells that grow is 'blocks' or 'unused_blocks', not {concat!r}")
        super().__init__(num_blocks, ops, {**NASNET_DIALECT, **(dialect or {})}, concat, cells=('normal',),
                         fewest_blocks=1, backbone=backbone)

    def extensions(self, genotype: Optional[Genotype] = None) -> Iterator[Genotype]:
        """Yield the canonical genotypes with one block more, each once.

        Args:
            genotype: One of this space; None: no block, so that those of one block are yielded.
        """
        nodes = read_nodes(genotype.value['normal']) if genotype is not None else []
        if len(nodes) == self.sizes[-1]:
            return
        halves = product(range(INPUTS + len(nodes)), self.ops)
        seen = set()
        for pair in combinations_with_replacement(halves, 2):
            longer = [*nodes, Node(pair)]
            found = self._genotype(dict(normal=canonical_cell(write_cell(longer, self._output(longer)))))
            if found not in seen:
                seen.add(found)
                yield found


@SPACES.register_module()
class ENASMicroSpace(CellSpace):
    """The normal and the reduction cell of ENAS's micro search (arXiv:1802.03268, section 2.4).

    Args:
        num_blocks: Blocks of a cell; the paper's B, which counts the two inputs too, is 2 more.
        ops: Operations to choose from.
        concat: What a cell's output is made of (:class:`CellSpace`).
        dialect: Variants of the layers that are not those of the authors' code, such as ``dict(inputs='nasnet')``.
        backbone: The network's skeleton (:class:`CellSpace`).
    """

    def __init__(self, num_blocks: int = 5, ops: Sequence[str] = ENAS_OPS, concat: str = 'unused',
                 dialect: Optional[Mapping] = None, backbone: Optional[Mapping] = None):
        super().__init__(num_blocks, ops, {**ENAS_DIALECT, **(dialect or {})}, concat, backbone=backbone)

    def supernet(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone holds the weights of all genotypes; ``model`` is not changed.

        It has depth, width and heads of the network that :meth:`apply` makes. Drop-path it has none, as in the authors'
        code.

        Raises:
            ValueError: The network is not a classifier with a head and stem for small images.
        """
        skeleton = self._skeleton(model)
        if skeleton.get('num_classes') is None or skeleton.get('stem', 'cifar') != 'cifar':
            raise ValueError("ENAS's shared network is a classifier of small images: give the CellNetwork num_classes "
                             "and stem='cifar', and no out_indices; what was found is a detector's backbone later")
        shared = {name: skeleton[name] for name in SHARED_SKELETON if name in skeleton}
        norm_cfg = dict(skeleton.get('norm_cfg') or dict(type='BN'), track_running_stats=False)
        backbone = dict(shared, type='ENASMicroSupernet', num_blocks=self.sizes[-1], ops=self.ops,
                        dialect=self.dialect, norm_cfg=norm_cfg)
        return ConfigDict(copy.deepcopy({**model, 'backbone': backbone}))


@SPACES.register_module()
class DARTSSpace(CellSpace):
    """What DARTS derives from its relaxation: nodes of two different inputs (arXiv:1806.09055, section 2.4).

    Args:
        num_blocks: Intermediate nodes of a cell.
        ops: Operations to choose from; ``none`` is one of the relaxation only.
        dialect: Variants of the layers that are not those of the authors' code, such as ``dict(pool_norm=True)``.
        backbone: The network's skeleton (:class:`CellSpace`).
    """

    def __init__(self, num_blocks: int = 4, ops: Sequence[str] = DARTS_OPS, dialect: Optional[Mapping] = None,
                 backbone: Optional[Mapping] = None):
        super().__init__(num_blocks, ops, {**DARTS_DIALECT, **(dialect or {})}, 'blocks', distinct=True,
                         backbone=backbone)

    def relaxed(self, model: Mapping) -> ConfigDict:
        """Return a new model config whose backbone is the relaxation of all genotypes; ``model`` is not changed.

        It has depth, width and linear layer of the network that :meth:`apply` makes, and neither its auxiliary head nor
        its drop-path, as in the authors' code.

        Raises:
            ValueError: The network is frozen in part, nothing says its skeleton, or nothing could read its maps.
        """
        skeleton = self._skeleton(model)
        frozen = [name for name, trained in (('frozen_stages', -1), ('norm_eval', False))
                  if skeleton.get(name, trained) != trained]
        if frozen:
            raise ValueError(f'a relaxation trains all of the backbone: leave {frozen[0]} out of the CellNetwork')
        kept = {name: value for name, value in skeleton.items() if name in RELAXED_SKELETON}
        return self._with_backbone(model, dict(
            kept, type='RelaxedCellNetwork', num_blocks=self.sizes[-1], ops=('none', *self.ops), dialect=self.dialect))
