"""A small image classifier on mmengine's BaseModel."""

from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.structures import LabelData
from torch import Tensor, nn

FC_INIT = dict(type='Normal', std=0.01, bias=0, override=dict(name='fc'))


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A backbone, global average pooling of its last feature map, dropout and a linear layer.

    A backbone with a head of its own (DetNASNet with ``head=True``, CellNetwork without ``out_indices``) gives the
    logits itself; leave ``num_classes``, ``in_channels`` and ``dropout`` to it then. In training it may give a pair, of
    which the second are the logits of an auxiliary head.

    The backbone's weights lie under ``backbone.`` in the state dict, so that a detector takes them with
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')``.

    Args:
        backbone: Config of any backbone in mmdet's MODELS.
        num_classes: Number of classes K; None: the backbone has a head.
        in_channels: Channels of the backbone's last feature map; None: the backbone has a head.
        dropout: Probability to drop a pooled feature.
        label_smoothing: The share of the target that is spread evenly over all classes (Szegedy et al. 2016,
            "Rethinking the Inception Architecture", section 7).
        auxiliary_weight: Weight of the auxiliary head's loss (Zoph et al., arXiv:1707.07012, appendix A).
        data_preprocessor: Config; its ``type`` defaults to mmengine's ImgDataPreprocessor.
        init_cfg: Defaults to Normal(0, 0.01) for the linear layer.

    Raises:
        ValueError: Only a part of the classifier's own head is given.
    """

    def __init__(self, backbone: dict, num_classes: Optional[int] = None, in_channels: Optional[int] = None,
                 dropout: float = 0.0, label_smoothing: float = 0.0, auxiliary_weight: float = 0.4,
                 data_preprocessor: Optional[dict] = None, init_cfg: Optional[dict] = None):
        own_head = num_classes is not None and in_channels is not None
        if not own_head and (num_classes, in_channels, dropout) != (None, None, 0.0):
            raise ValueError(f'num_classes={num_classes}, in_channels={in_channels}, dropout={dropout}: give both '
                             f'num_classes and in_channels, or, where the backbone has a head, none of the three')
        preprocessor = {'type': 'ImgDataPreprocessor', **(data_preprocessor or {})}
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg or (FC_INIT if own_head else None))
        self.backbone = MODELS.build(backbone)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes) if own_head else None
        self.label_smoothing = label_smoothing
        self.auxiliary_weight = auxiliary_weight

    def forward(self, inputs: Tensor, data_samples: Optional[Tensor] = None,
                mode: str = 'tensor') -> Union[dict, list, Tensor]:
        """Run the network; mmengine's runner calls this.

        Args:
            inputs: Normalised images (N, 3, H, W).
            data_samples: Labels (N,), int64; needed by mode ``'loss'``.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            Logits (N, K), a dict of losses, or a list of N predictions.

        Raises:
            ValueError: Unknown mode.
        """
        if mode == 'tensor':
            return self.logits(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs)
        raise ValueError(f"mode is 'tensor', 'loss' or 'predict', not {mode!r}")

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W), from a backbone without a head."""
        return self.backbone(inputs)

    def logits(self, inputs: Tensor) -> Union[Tensor, tuple[Tensor, Tensor]]:
        """Return the logits (N, K) of images (N, 3, H, W), or in training a pair of them with an auxiliary head's."""
        if self.fc is None:
            return self.backbone(inputs)
        pooled = self.extract_feat(inputs)[-1].mean(dim=(2, 3))
        return self.fc(self.dropout(pooled))

    def loss(self, inputs: Tensor, data_samples: Tensor) -> dict[str, Tensor]:
        """Return the mean cross entropy with smoothed labels.

        Args:
            inputs: Images (N, 3, H, W).
            data_samples: Labels (N,), int64.

        Returns:
            ``loss``, a scalar; with an auxiliary head ``loss_class`` and, weighted, ``loss_auxiliary``.
        """
        logits = self.logits(inputs)
        if isinstance(logits, Tensor):
            return dict(loss=self.classification_loss(logits, data_samples))
        logits, auxiliary = logits
        return dict(loss_class=self.classification_loss(logits, data_samples),
                    loss_auxiliary=self.auxiliary_weight * self.classification_loss(auxiliary, data_samples))

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy of logits (N, K) with smoothed labels (N,), a scalar."""
        return F.cross_entropy(_widened(logits), labels, label_smoothing=self.label_smoothing)

    def predict(self, inputs: Tensor) -> list[LabelData]:
        """Classify images.

        Args:
            inputs: Images (N, 3, H, W).

        Returns:
            N predictions with ``score`` (K,), the class probabilities, and ``label`` (1,), the likeliest class.
        """
        scores = torch.softmax(_widened(self.logits(inputs)), dim=1)
        return [LabelData(score=score, label=score.argmax(dim=0, keepdim=True)) for score in scores]


def _widened(logits: Tensor) -> Tensor:
    """Return logits of half precision in float32, others as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
