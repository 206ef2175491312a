"""What the children of a sandwich learn: the largest from the labels, the others from the largest too.

Yu, Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142, section 3.1. The paper has classifiers only, whose smaller children
see no labels. The rule for detectors is ours: nearly all of a detector's places are background, of which soft targets
say next to nothing, so that every child learns from the ground truth and is taught only where the largest one sees an
object.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

TAUGHT_SCORE = 0.05     # of the largest child; where it finds nothing likelier, it teaches nothing
HEADS = ('RetinaHead', 'RetinaSepBNHead', 'FCOSHead', 'ATSSHead', 'GFLHead')


@dataclass(frozen=True)
class DenseOutputs:
    """What a dense head says of the anchors (or points) of all levels and images, P in all.

    Args:
        logits: Of the K classes, (P, K).
        boxes: (P, 4), differences to anchors, or distances in units of the level's stride; of a head that predicts
            distributions, their logits (P, 4, bins).
    """

    logits: Tensor
    boxes: Tensor


def unwrapped(model: nn.Module) -> nn.Module:
    """Return a network without the wrapper of a distributed training."""
    return model.module if is_model_wrapper(model) else model


def child_loss_of(model: nn.Module) -> Callable[[nn.Module, Mapping, Any], tuple[Tensor, Any]]:
    """Return the function that gives the loss of a model's children, and what each of them could teach.

    It takes the model, a preprocessed batch, and what the largest child teaches, None for that child itself.

    Args:
        model: A supernet, possibly wrapped for distributed training.

    Raises:
        ValueError: There is no rule for this model.
    """
    model = unwrapped(model)
    if hasattr(model, 'classification_loss'):
        return classifier_loss
    _check_detector(model)
    return detector_loss


def _check_detector(model: nn.Module) -> None:
    from mmdet.models import SingleStageDetector  # takes seconds
    kind, head = type(model).__name__, getattr(model, 'bbox_head', None)
    if getattr(type(model), 'loss', None) is not SingleStageDetector.loss:
        raise ValueError(f"the sandwich rule is here for classifiers (ImageClassifier) and mmdet's one-stage "
                         f'detectors, not for a {kind} (the box head of a two-stage detector reads other regions in '
                         f'each child, so that there is nothing to compare): train one path an iteration')
    if type(head).__name__ not in HEADS:
        raise ValueError(f'the sandwich rule knows what the outputs of {", ".join(HEADS)} mean, not those of a '
                         f'{type(head).__name__}: change bbox_head, or train one path an iteration')
    if not head.use_sigmoid_cls:
        raise ValueError(f'the sandwich rule compares scores of each class by itself, and this {type(head).__name__} '
                         f'has a softmax over classes: set use_sigmoid=True in bbox_head.loss_cls')


def classifier_loss(model: nn.Module, batch: Mapping, teacher: Optional[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the loss of a classifier's child: on the labels, or on the probabilities of the largest child alone.

    Args:
        model: The supernet with the child as its path, possibly wrapped for distributed training.
        batch: Preprocessed.
        teacher: Probabilities of the largest child (N, K); None: this is that child.

    Returns:
        The loss, and the child's own probabilities (N, K), detached.
    """
    logits = model(batch['inputs'], mode='tensor').float()
    if teacher is None:
        loss = unwrapped(model).classification_loss(logits, batch['data_samples'])
    else:
        loss = F.cross_entropy(logits, teacher)
    return loss, logits.detach().softmax(dim=1)


def detector_loss(model: nn.Module, batch: Mapping, teacher: Optional[DenseOutputs]) -> tuple[Tensor, DenseOutputs]:
    """Return the loss of a one-stage detector's child: on the ground truth, and on what the largest child says.

    Args:
        model: The supernet with the child as its path, possibly wrapped for distributed training.
        batch: Preprocessed.
        teacher: Of the largest child on the same batch; None: this is that child.

    Returns:
        The loss, and the child's own outputs, detached.
    """
    detector = unwrapped(model)
    with _outputs_of(detector.bbox_head) as outputs:
        losses = model(**batch, mode='loss')
    loss, _ = detector.parse_losses(losses)
    own = dense_outputs(detector.bbox_head, outputs[0])
    if teacher is not None:
        loss = loss + distillation_loss(own, teacher)
    return loss, DenseOutputs(own.logits.detach(), own.boxes.detach())


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list]:
    """Yield a list that grows by what a module returns whenever it runs."""
    outputs: list = []
    handle = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def dense_outputs(head: nn.Module, outputs: Sequence[Sequence[Tensor]]) -> DenseOutputs:
    """Return a head's outputs by anchor.

    Args:
        head: One of ``HEADS``.
        outputs: What it gave in training: a list of class maps (N, anchors * K, H, W), one a level, a list of box maps
            (N, anchors * 4 * bins, H, W), and perhaps more.
    """
    bins = head.reg_max + 1 if hasattr(head, 'reg_max') else 1
    # An FCOSHead gives pixels unless it has norm_on_bbox; those of coarse levels would outweigh everything.
    in_pixels = hasattr(head, 'norm_on_bbox') and not head.norm_on_bbox
    units = head.strides if in_pixels else [1] * len(outputs[1])
    logits = torch.cat([_by_anchor(level, head.cls_out_channels) for level in outputs[0]])
    boxes = torch.cat([_by_anchor(level, 4 * bins) / unit for level, unit in zip(outputs[1], units, strict=True)])
    return DenseOutputs(logits, boxes if bins == 1 else boxes.reshape(-1, 4, bins))


def _by_anchor(level: Tensor, values: int) -> Tensor:
    """Return (N * H * W * anchors, values) of a map (N, anchors * values, H, W)."""
    return level.float().permute(0, 2, 3, 1).reshape(-1, values)


def distillation_loss(student: DenseOutputs, teacher: DenseOutputs) -> Tensor:
    """Return how far a child is from the largest one where that scores any class above ``TAUGHT_SCORE``.

    Of each such anchor: the binary cross-entropy of each class to the teacher's score, and the L1 distance of the box,
    or of predicted distributions their Kullback-Leibler divergence; sums over classes and sides, each with weight 1,
    averaged over these anchors. 0 where there are none.

    Args:
        student: Of the child.
        teacher: Of the largest child, detached.
    """
    scores = teacher.logits.sigmoid()
    taught = scores.amax(dim=1) > TAUGHT_SCORE
    classes = F.binary_cross_entropy_with_logits(student.logits[taught], scores[taught], reduction='sum')
    ours, theirs = student.boxes[taught], teacher.boxes[taught]
    if ours.dim() == 3:
        boxes = F.kl_div(ours.log_softmax(dim=2), theirs.log_softmax(dim=2), reduction='sum', log_target=True)
    else:
        boxes = F.l1_loss(ours, theirs, reduction='sum')
    return (classes + boxes) / taught.sum().clamp(min=1)
