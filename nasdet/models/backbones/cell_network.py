"""A network of cells, as classifier or as backbone of a detector.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1: a fixed stack of normal and reduction cells, whose depth and width are free.
"""

from typing import Mapping, Optional, Sequence, Union

from mmdet.registry import MODELS
from torch import Tensor

from nasdet.models.backbones.cell_stack import CellStack
from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.cells import AuxiliaryHead, Cell, Dialect, read_cells
from nasdet.models.layers.freezing import freeze, keep_statistics


@MODELS.register_module()
class CellNetwork(CellStack):
    """Stacks the cells of a genotype.

    Without ``out_indices`` it is a classifier. With them it is a backbone, of which map 0 is the last one before the
    first stage (stride 4 for images of ImageNet's size: the first stem cell's), and map i what stage i makes (strides
    8, 16, 32); cells after the last map asked for are left out. ``out_channels`` and ``strides`` say what each map is.

    Args:
        genotype: Plain value of a cell genotype (:func:`~nasdet.models.layers.cells.read_cells`), or the name of a
            published one (``'darts_v2_cifar'``).
        num_cells: Normal cells of each stage; there is one reduction cell more in every stage but the first. NASNet's N
            is ``(N, N, N)``, PNAS's ``(N, N - 1, N - 1)``, DARTS's L = 20 ``(6, 6, 6)``, its L = 14 ``(4, 4, 4)``.
        width: Channels F of a state in the first stage.
        stem: ``'cifar'``, ``'nasnet_imagenet'`` or ``'darts_imagenet'`` (:func:`build_stem`).
        stem_channels: Channels of the stem; None: the published ones.
        out_indices: The maps to return; None: a classifier.
        num_classes: Classes K of the classifier.
        auxiliary: Whether the classifier has its auxiliary head.
        auxiliary_head: Of that head: ``cell``, the cell whose output it reads, by its place in the whole stack (by
            default the last one before the last reduction), and the arguments of
            :class:`~nasdet.models.layers.cells.AuxiliaryHead`.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        final_relu: Whether a ReLU follows the last cell, and so every map that is returned.
        skip_reduction_input: Whether the cell after a reduction reads, in place of the reduction's second input, its
            first (the authors' large NASNet).
        drop_path: Probability that an operation's output is dropped for an image, at the end of a training and in the
            last cell (Zoph et al., section 3.1); :meth:`set_drop_path_progress` makes it grow.
        drop_path_by_depth: Whether the probability grows with the cell's place in the stack.
        padding: Where padding goes at stride 2: ``'symmetric'``, ``'same'`` (as TensorFlow, for its weights) or
            ``'timm'``.
        norm_cfg: Normalisation.
        frozen_stages: Stages whose weights and statistics stay as they are: 0 freezes what makes map 0, and so on; -1
            none.
        norm_eval: Whether normalisation uses its running statistics in training too.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: The genotype is none, or an argument does not fit.
    """

    def __init__(self, genotype: Union[str, Mapping], num_cells: Sequence[int], width: int, stem: str = 'cifar',
                 stem_channels: Optional[int] = None, out_indices: Optional[Sequence[int]] = None,
                 num_classes: int = 1000, auxiliary: bool = False, auxiliary_head: Optional[Mapping] = None,
                 dropout: float = 0.0, fc_bias: bool = True, final_relu: bool = True,
                 skip_reduction_input: bool = False, drop_path: float = 0.0, drop_path_by_depth: bool = True,
                 padding: str = 'symmetric', norm_cfg: Mapping = dict(type='BN'), frozen_stages: int = -1,
                 norm_eval: bool = False, init_cfg: Union[dict, list, None] = None):
        value = genotype_value(genotype)
        graphs, dialect = read_cells(value), Dialect.of(value, padding, norm_cfg)

        def build_cell(slot, in_channels, halve_first):
            return Cell(graphs[slot.kind], in_channels, slot.width, slot.kind == 'reduce', halve_first, dialect)

        super().__init__(build_cell, dialect, num_cells, width, stem, stem_channels, out_indices, num_classes, dropout,
                         fc_bias, final_relu, skip_reduction_input, init_cfg)
        if frozen_stages not in range(-1, len(num_cells) + 1):
            raise ValueError(f'frozen_stages={frozen_stages}, but this network has {len(num_cells)} stages')
        if not 0 <= drop_path < 1:
            raise ValueError(f'drop_path is a probability below 1, not {drop_path}')
        self.drop_path, self.drop_path_by_depth = drop_path, drop_path_by_depth
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.auxiliary_cell, self.auxiliary_head = None, None
        if auxiliary:
            self._add_auxiliary_head(num_classes, dialect, dict(auxiliary_head or {}))
        self.set_drop_path_progress(1.0)
        self._freeze()

    def _add_auxiliary_head(self, num_classes: int, dialect: Dialect, head: dict) -> None:
        if self.out_indices is not None:
            raise ValueError('only a classifier has an auxiliary head: with out_indices, set auxiliary=False')
        before_reduction = max((i - 1 for i, slot in enumerate(self.stack) if slot.kind == 'reduce'), default=0)
        self.auxiliary_cell = head.pop('cell', before_reduction)
        if self.auxiliary_cell not in range(len(self.stack)):
            raise ValueError(f"auxiliary_head's cell is one of 0 to {len(self.stack) - 1}, not {self.auxiliary_cell}")
        channels = self.cells[self.auxiliary_cell].out_channels
        self.auxiliary_head = AuxiliaryHead(channels, num_classes, dialect, **head)

    def forward(self, images: Tensor) -> Union[Tensor, tuple[Tensor, ...]]:
        """Run the network.

        Args:
            images: (N, 3, H, W), of any size.

        Returns:
            A backbone: the maps (N, C, ceil(H / stride), ceil(W / stride)) of ``out_indices``, in their order. A
            classifier: logits (N, K); with its auxiliary head, in training, (logits, auxiliary logits).
        """
        maps, read = self._run(images, keep=self.auxiliary_cell if self.training else None)
        outputs = self._outputs(maps)
        return outputs if read is None else (outputs, self.auxiliary_head(read))

    def set_drop_path_progress(self, progress: float) -> None:
        """Set the probabilities to drop a path for this moment of a training.

        Args:
            progress: The share of the training that is over, 0 to 1.
        """
        for index, cell in enumerate(self.cells):
            depth = (index + 1) / self.num_slots if self.drop_path_by_depth else 1.0
            cell.drop_prob = self.drop_path * progress * depth

    def train(self, mode: bool = True) -> 'CellNetwork':
        """Set training or evaluation mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            keep_statistics(self)
        return self

    def _freeze(self) -> None:
        frozen = [self.stem] if self.frozen_stages >= 0 else []
        frozen += [cell for slot, cell in zip(self.stack, self.cells, strict=True) if slot.stage <= self.frozen_stages]
        freeze(frozen)

