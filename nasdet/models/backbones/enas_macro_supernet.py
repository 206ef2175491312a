"""The weight-shared network of ENAS's macro search.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.3; what the paper leaves open is as in the authors' code.
"""

from collections import OrderedDict
from typing import Mapping, Optional, Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.backbones.enas_micro_supernet import BATCH_STATISTICS
from nasdet.models.layers.cells.convolutions import FactorizedReduction, conv_norm, norm
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.stems import ConvStem
from nasdet.models.layers.enas_macro import (
    FEWEST_LAYERS,
    check_macro_genotype,
    halved_after,
    macro_operation,
    still_read,
)
from nasdet.models.layers.layout import training_layout


@MODELS.register_module()
class ENASMacroSupernet(BaseModule):
    """Holds every operation of every layer; only the path's run, the others get no gradient (None).

    Its graph is not that of the networks that are trained at the end
    (:class:`~nasdet.models.backbones.ENASMacroNet`), so that none of them can be extracted from it: all outputs have
    the same width at any resolution, earlier ones are added to a layer's and not concatenated, and ReLUs stand after
    the convolutions. A path is always run with the statistics of the batch, as in :class:`ENASMicroSupernet`.

    Args:
        num_layers: Layers.
        ops: Operations to choose from.
        width: Channels of all outputs.
        num_classes: Classes K.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        norm_cfg: Normalisation; by default without running statistics.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: Too few layers.
    """

    def __init__(self, num_layers: int, ops: Sequence[str], width: int, num_classes: int, dropout: float = 0.0,
                 fc_bias: bool = False, norm_cfg: Mapping = BATCH_STATISTICS, init_cfg: Optional[dict] = None):
        super().__init__(init_cfg=init_cfg)
        if num_layers < FEWEST_LAYERS:
            raise ValueError(f'num_layers is at least {FEWEST_LAYERS}, not {num_layers}')
        dialect = Dialect(norm_cfg=norm_cfg)
        self.ops = tuple(ops)
        self.path: Optional[Sequence[Mapping]] = None
        self.stem = ConvStem(width, 1, True, dialect)
        self.branches = nn.ModuleList(      # by layer, the operations by name
            nn.ModuleDict({op: _branch(op, width, dialect) for op in self.ops}) for _ in range(num_layers))
        self.norms = nn.ModuleList(norm(width, dialect) for _ in range(num_layers - 1))     # after the sums
        self.reductions = nn.ModuleDict({
            str(number): nn.ModuleList(FactorizedReduction(width, width, dialect) for _ in range(number + 1))
            for number in halved_after(num_layers)})
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes, bias=fc_bias)

    def set_path(self, value: Mapping) -> None:
        """Choose the genotype that forward() runs.

        Args:
            value: Plain value of an ENASMacroSpace genotype.

        Raises:
            ValueError: Not a genotype of this supernet.
        """
        check_macro_genotype(value)
        layers = value['layers']
        if len(layers) != len(self.branches):
            raise ValueError(f'this supernet has {len(self.branches)} layers, the genotype {len(layers)}')
        unknown = {layer['op'] for layer in layers} - set(self.ops)
        if unknown:
            raise ValueError(f'this supernet has the operations {", ".join(self.ops)}, the genotype wants '
                             f'{", ".join(sorted(unknown))}')
        self.path = layers

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) by the path: logits (N, K)."""
        if self.path is None:
            raise RuntimeError('this supernet has no path yet: call set_path(genotype value) before forward()')
        last = self.stem(training_layout(images, self.training))[1]
        outputs = {0: last}
        for number, layer in enumerate(self.path, start=1):
            last = self.branches[number - 1][layer['op']](last)
            if number > 1:
                last = self.norms[number - 2](sum((outputs[skip] for skip in layer['skips']), start=last))
            outputs[number] = last
            if str(number) in self.reductions:
                outputs = {kept: self.reductions[str(number)][kept](outputs[kept])
                           for kept in sorted(still_read(self.path, number))}
                last = outputs[number]
        return self.fc(self.dropout(last.mean(dim=(2, 3))))


def _branch(op: str, width: int, dialect: Dialect) -> nn.Sequential:
    """Return 1x1 convolution, normalisation and ReLU, then the operation, with a ReLU if it is a convolution."""
    layers = dict(squeeze=conv_norm(width, width, 1, dialect), relu=nn.ReLU(inplace=True),
                  op=macro_operation(op, width, dialect))
    if not op.startswith(('avg', 'max')):
        layers.update(relu2=nn.ReLU(inplace=True))
    return nn.Sequential(OrderedDict(layers))
