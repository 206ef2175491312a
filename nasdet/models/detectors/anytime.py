"""Anytime detection: the heads are trained on the outputs of every stack of the neck, so any of them may be the last.

Ghiasi, Lin, Pang, Le: NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection. CVPR 2019,
arXiv:1904.07392, section 3.
"""

from typing import Optional, Sequence, Union

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor


class DeepSupervision:
    """Sums the losses of the heads over all stacks of a MergingCellFPN; put before a detector of mmdet as a base.

    The weights and their names are those of the detector without it. Prediction reads the last stack, or the one that
    ``exit_stack`` of the neck names: ``--cfg-options model.neck.exit_stack=2`` tests the second exit.

    Args:
        stack_weights: Weight of each stack's losses; None: 1 each, as the paper sums them.
        **kwargs: As the detector takes them.

    Raises:
        ValueError: The neck has no stacks, or other ones than ``stack_weights``.
    """

    def __init__(self, *, stack_weights: Optional[Sequence[float]] = None, **kwargs):
        super().__init__(**kwargs)
        if not (self.with_neck and hasattr(self.neck, 'pyramids')):
            neck = type(self.neck).__name__ if self.with_neck else 'no neck'
            raise ValueError(f'{type(self).__name__} needs a neck of stacks, MergingCellFPN, and has {neck}')
        number = len(self.neck.stacks)
        if stack_weights is not None and len(stack_weights) != number:
            raise ValueError(f'stack_weights={list(stack_weights)}, but the neck has {number} stacks')
        self.stack_weights = [1.0] * number if stack_weights is None else list(stack_weights)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict:
        """Return the detector's losses on every stack.

        Args:
            batch_inputs: Images (N, 3, H, W).
            batch_data_samples: Their annotations.

        Returns:
            The losses of stack 1 as ``stack1.loss_cls`` and so on; mmengine sums all whose name holds ``loss``.
        """
        losses = {}
        pyramids = self.neck.pyramids(self.backbone(batch_inputs))
        for number, (pyramid, weight) in enumerate(zip(pyramids, self.stack_weights, strict=False), start=1):
            of_stack = super().loss(pyramid, batch_data_samples)    # reads its input through extract_feat alone
            losses.update(rename_loss_dict(f'stack{number}.', reweight_loss_dict(of_stack, weight)))
        return losses

    def extract_feat(self, batch_inputs: Union[Tensor, tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return the pyramid that the heads read: of images, or the one given.

        Args:
            batch_inputs: Images (N, 3, H, W), or a pyramid, finest map first.
        """
        return batch_inputs if isinstance(batch_inputs, tuple) else super().extract_feat(batch_inputs)


@MODELS.register_module()
class DeeplySupervisedSingleStage(DeepSupervision, SingleStageDetector):
    """RetinaNet, FCOS, ATSS or GFL (by its ``bbox_head``), trained on every stack."""


@MODELS.register_module()
class DeeplySupervisedTwoStage(DeepSupervision, TwoStageDetector):
    """Faster R-CNN or Mask R-CNN (by its ``roi_head``), trained on every stack."""
