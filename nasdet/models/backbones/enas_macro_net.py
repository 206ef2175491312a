"""A network of ENAS's macro search, as it is trained in the end.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.3; what the paper leaves open is as in the authors' code.
"""

from collections import OrderedDict
from typing import Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nasdet.models.genotypes import genotype_value
from nasdet.models.layers.cells.convolutions import FactorizedReduction, conv_norm
from nasdet.models.layers.cells.dialect import Dialect
from nasdet.models.layers.cells.stems import ConvStem
from nasdet.models.layers.enas_macro import check_macro_genotype, halved_after, macro_operation
from nasdet.models.layers.layout import training_layout


@MODELS.register_module()
class ENASMacroNet(BaseModule):
    """Layers in a row, each of which may also read any earlier one; a classifier.

    A third and two thirds of the way, all outputs so far are reduced to half the resolution and twice the width, each
    by a factorized reduction of its own (also one that nothing reads any more, as in the authors' code).

    Args:
        genotype: Plain value of a macro genotype (:mod:`~nasdet.models.layers.enas_macro`), or the name of a published
            one.
        width: Channels of the first layers.
        num_classes: Classes K.
        separable: Whether ``sep3`` and ``sep5`` are separable. The authors' code builds full convolutions in their
            place in the final network, and separable ones in the search.
        dropout: Probability to drop a pooled feature before the last layer.
        fc_bias: Whether the last layer has a bias.
        norm_cfg: Normalisation.
        init_cfg: How mmengine initialises the weights; None: as torch does.

    Raises:
        ValueError: The genotype is none.
    """

    def __init__(self, genotype: Union[str, Mapping], width: int, num_classes: int, separable: bool = True,
                 dropout: float = 0.0, fc_bias: bool = False, norm_cfg: Mapping = dict(type='BN'),  # noqa: B006
                 init_cfg: Optional[dict] = None):
        super().__init__(init_cfg=init_cfg)
        value = genotype_value(genotype)
        check_macro_genotype(value)
        layers, dialect = value['layers'], Dialect(norm_cfg=norm_cfg)
        self.stem = ConvStem(width, 1, True, dialect)
        self.layers, self.reductions = nn.ModuleList(), nn.ModuleDict()
        for number, layer in enumerate(layers, start=1):
            self.layers.append(MacroLayer(number, layer['op'], layer['skips'], width, separable, dialect))
            if number in halved_after(len(layers)):
                self.reductions[str(number)] = nn.ModuleList(
                    FactorizedReduction(width, 2 * width, dialect) for _ in range(number + 1))
                width *= 2
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes, bias=fc_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W): logits (N, K)."""
        outputs = [self.stem(training_layout(images, self.training))[1]]
        for number, layer in enumerate(self.layers, start=1):
            outputs.append(layer(outputs))
            if str(number) in self.reductions:
                outputs = [reduce(x) for reduce, x in zip(self.reductions[str(number)], outputs, strict=True)]
        return self.fc(self.dropout(outputs[-1].mean(dim=(2, 3))))


class MacroLayer(nn.Module):
    """1x1 convolution, operation, and a 1x1 convolution of it with the earlier outputs; ReLUs before, BN after each.

    Args:
        number: Of the layer; the first has no second 1x1 convolution.
        op: Name of the operation.
        skips: Numbers of the earlier layers that are read.
        width: Channels of all outputs.
        separable: Whether separable convolutions are.
        dialect: Normalisation.
    """

    def __init__(self, number: int, op: str, skips: Sequence[int], width: int, separable: bool, dialect: Dialect):
        super().__init__()
        self.skips = tuple(skips)
        self.branch = nn.Sequential(OrderedDict(
            squeeze=conv_norm(width, width, 1, dialect), relu=nn.ReLU(inplace=True),
            op=macro_operation(op, width, dialect, separable)))
        self.join = conv_norm((len(self.skips) + 1) * width, width, 1, dialect) if number > 1 else None

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the layer's output (N, C, H, W), from those of the stem and all layers before."""
        x = self.branch(F.relu(outputs[-1]))
        if self.join is None:
            return x
        return self.join(F.relu(torch.cat([*(outputs[number] for number in self.skips), x], dim=1)))
