"""Runs one supernet over the same pictures again and again, doing once what does not change with the path."""

import copy
import logging
from typing import Any, Iterable

from mmengine.evaluator import Evaluator
from torch import Tensor, nn

from nasdet.training import searched_modules
from nasdet.training.precision import inference_context

logger = logging.getLogger(__name__)
MEBIBYTE = 2 ** 20


class SupernetScorer:
    """Scores the current path of a supernet.

    Decoded pictures are kept in memory; where only neck or heads are searched, the backbone's maps are kept instead,
    since they are the same for every path. Call it under ``torch.inference_mode()``.

    Args:
        model: The supernet, in evaluation mode.
        amp: Mixed precision.
        cache_megabytes: What is kept of one set of pictures at most (MiB); a larger set is read again each time.
    """

    def __init__(self, model: nn.Module, amp: bool, cache_megabytes: float):
        self.model = model
        self.amp = amp
        self.limit = cache_megabytes * MEBIBYTE
        self.after_backbone = _after_backbone(model) if _backbone_is_shared(model) else None

    @property
    def recalibrated_modules(self) -> list[nn.Module]:
        """Modules whose batch norm statistics depend on the path: all but a backbone that is not searched."""
        return [module for name, module in self.model.named_children()
                if name != 'backbone' or not _backbone_is_shared(self.model)]

    def load(self, loader: Iterable[dict]) -> Iterable[dict]:
        """Return the batches of a loader, for :meth:`run`, from memory as far as they fit."""
        if self.after_backbone is not None:
            kept = self._keep(self._maps(batch) for batch in loader)
            if kept is not None:
                return kept
        kept = self._keep(loader)
        if kept is not None:
            return kept
        logger.warning('%d pictures do not fit into cache_megabytes=%d and are decoded again for every candidate',
                       len(loader.dataset), self.limit // MEBIBYTE)
        return loader

    def run(self, batch: dict, mode: str) -> Any:
        """Run the path on a batch.

        Args:
            batch: Of :meth:`load`.
            mode: ``'tensor'`` for the raw outputs, ``'predict'`` for data samples with ``pred_instances``.

        Returns:
            What the detector returns in that mode.
        """
        with inference_context(self.amp):
            if 'maps' in batch:
                return self.after_backbone(batch['maps'], batch['data_samples'], mode=mode)
            data = self.model.data_preprocessor(batch, False)
            return self.model(data['inputs'], data['data_samples'], mode=mode)

    def calibrate(self, batch: dict) -> None:
        """Run the path without box selection, as recalibration needs it."""
        self.run(batch, 'tensor')

    def score(self, batches: Iterable[dict], evaluator: Evaluator) -> tuple[dict[str, float], int]:
        """Return the evaluator's metrics of the current path, and the number of pictures.

        Args:
            batches: Of :meth:`load`.
            evaluator: With ``dataset_meta`` set.
        """
        for metric in evaluator.metrics:
            metric.results.clear()      # of an evaluation that failed half way
        seen = 0
        for batch in batches:
            samples = self.run(batch, 'predict')
            evaluator.process(data_samples=samples, data_batch=batch)
            seen += len(samples)
        return evaluator.evaluate(seen), seen

    def _maps(self, batch: dict) -> dict:
        with inference_context(self.amp):
            data = self.model.data_preprocessor(batch, False)
            return dict(maps=self.model.backbone(data['inputs']), data_samples=data['data_samples'])

    def _keep(self, batches: Iterable[dict]) -> Any:
        """Return the batches as a list, or None as soon as they take more than the limit."""
        kept, size = [], 0
        for batch in batches:
            size += sum(tensor.nbytes for tensor in _tensors(batch.get('maps', batch.get('inputs'))))
            if size > self.limit:
                return None
            kept.append(batch)
        return kept


def _backbone_is_shared(model: nn.Module) -> bool:
    """Whether all paths have one backbone, and nothing but its maps leaves it."""
    if any(name == '' or name.startswith('backbone') for name in searched_modules(model)):
        return False
    from mmdet.models import SingleStageDetector, TwoStageDetector  # takes seconds; other estimators do without
    return getattr(type(model), 'extract_feat', None) in (SingleStageDetector.extract_feat,
                                                          TwoStageDetector.extract_feat)


def _after_backbone(model: nn.Module) -> nn.Module:
    """Return a detector that takes the backbone's maps and shares every other part with ``model``."""
    rest = copy.copy(model)
    rest._modules = dict(model._modules, backbone=nn.Identity())
    return rest


def _tensors(part: Any) -> list[Tensor]:
    if isinstance(part, Tensor):
        return [part]
    return [tensor for item in part for tensor in _tensors(item)]
