"""Runs one supernet over the same pictures again and again, doing once what does not change with the path."""

import copy
import logging
from typing import Any, Iterable, Optional

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasdet.datasets.dataloaders import innermost
from nasdet.datasets.tasks import task_of
from nasdet.estimators.features import MEBIBYTE
from nasdet.training import searched_modules
from nasdet.training.precision import inference_context
from nasdet.training.recalibration import norm_layers

logger = logging.getLogger(__name__)


class SupernetScorer:
    """Scores the current path of a supernet. Call it under ``torch.inference_mode()``.

    Args:
        model: The supernet, in evaluation mode.
        amp: Mixed precision.
        cache_megabytes: What is kept of one set of decoded images at most (MiB); a larger set is read again each time.
        first_level: Index of the first backbone map that the neck reads.
    """

    def __init__(self, model: nn.Module, amp: bool, cache_megabytes: float, first_level: int = 0):
        self.model = model
        self.amp = amp
        self.limit = cache_megabytes * MEBIBYTE
        self.first_level = first_level
        self.backbone_is_shared = _backbone_is_shared(model)
        self.after_backbone = _after_backbone(model) if self.backbone_is_shared else None
        heads = [module for name, module in model.named_children() if name not in ('backbone', 'neck')]
        self.heads_have_norms = bool(norm_layers(heads))

    @property
    def recalibrated_modules(self) -> list[nn.Module]:
        """Modules whose batch norm statistics depend on the path: all but a backbone that is not searched."""
        return [module for name, module in self.model.named_children()
                if name != 'backbone' or not self.backbone_is_shared]

    def load(self, loader: Iterable[dict]) -> Iterable[dict]:
        """Return the batches of a loader, for :meth:`run`, from memory where they fit."""
        kept, size = [], 0
        for batch in loader:
            size += sum(tensor.nbytes for tensor in _tensors(batch['inputs']))
            if size > self.limit:
                logger.warning('%d images do not fit into cache_megabytes=%g and are decoded again for every '
                               'candidate', len(loader.dataset), self.limit / MEBIBYTE)
                return loader
            kept.append(batch)
        return kept

    def extract(self, batch: dict) -> dict:
        """Return what :meth:`run` needs of a batch of images where the backbone is not searched, as plain data.

        Args:
            batch: Of a loader.

        Returns:
            ``maps``, one (N, C, H, W) a level, on the CPU, empty where the neck does not read it; and the
            ``metainfo`` of each image.
        """
        with inference_context(self.amp):
            data = self.model.data_preprocessor(batch, False)
            maps = self.model.backbone(data['inputs'])
        return dict(maps=tuple(level.cpu() if index >= self.first_level else torch.empty(0)
                               for index, level in enumerate(maps)),
                    metainfo=[sample.metainfo for sample in data['data_samples']])

    def run(self, batch: dict, mode: str) -> Any:
        """Run the path on a batch.

        Args:
            batch: Of :meth:`load`, or the maps of :meth:`extract` with data samples.
            mode: ``'tensor'`` for the raw outputs, ``'predict'`` for predictions.

        Returns:
            What the network returns in that mode.
        """
        with inference_context(self.amp):
            detector, inputs, data_samples = self._inputs(batch)
            return detector(inputs, data_samples, mode=mode)

    def calibrate(self, batch: dict) -> None:
        """Run the path only as far as there are batch norm layers; of the heads of a one-stage detector, no selection.

        mmdet's two-stage detectors select regions for their box heads, whose statistics depend on them.
        """
        with inference_context(self.amp):
            detector, inputs, data_samples = self._inputs(batch)
            if self.heads_have_norms:
                detector(inputs, data_samples, mode='tensor')
            else:
                detector.extract_feat(inputs)

    def _inputs(self, batch: dict) -> tuple[nn.Module, Any, list]:
        """Return the network that a batch is for, and what it takes."""
        if 'maps' in batch:
            return self.after_backbone, batch['maps'], batch['data_samples']
        data = self.model.data_preprocessor(batch, False)
        return self.model, data['inputs'], data['data_samples']

    def score(self, batches: Iterable[dict], evaluator: Evaluator) -> tuple[dict[str, float], int]:
        """Return the evaluator's metrics of the current path, and the number of pictures.

        Args:
            batches: As :meth:`run` takes them.
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


def scoring_loader(config: Config, split: str, images: Optional[int], batch_size: int,
                   num_workers: int = 0) -> DataLoader:
    """Return a loader of images that are read as search-val is.

    Args:
        config: Prepared.
        split: ``'val'`` for images to score, of search-val; ``'train'`` for batch norm statistics, spread over
            search-train.
        images: How many; None or more than there are: all. Of ``'train'`` one fewer, where the last batch would hold a
            single one: batch statistics of a single value do not exist, and an image's coarsest map may be that.
        batch_size: Images read at once.
        num_workers: Processes that read them; 0 reads in this one.
    """
    task = task_of(config)
    dataset = task.read_as(innermost(config, split), innermost(config, 'val'))
    built = DATASETS.build(dataset)
    number = len(built) if images is None else min(images, len(built))
    if split == 'train':
        if number % batch_size == 1 < number:
            number -= 1
        built = built.get_subset(task.spread(len(built), number).tolist())
    elif number < len(built):
        built = DATASETS.build(task.limited(dataset, number))
    loader = dict(dataset=built, batch_size=batch_size, num_workers=num_workers,
                  sampler=dict(type='DefaultSampler', shuffle=False))
    if 'collate_fn' in config.val_dataloader:
        loader['collate_fn'] = config.val_dataloader.collate_fn
    return Runner.build_dataloader(loader)


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
