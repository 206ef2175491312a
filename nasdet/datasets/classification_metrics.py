"""Accuracy of classifiers."""

from typing import Optional, Sequence

import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric


@METRICS.register_module()
class Accuracy(BaseMetric):
    """The share of images, in [0, 1], whose class is among the k likeliest: ``accuracy/top1``, ``accuracy/top5``.

    Args:
        topk: The values of k.
        collect_device: As mmengine's BaseMetric takes it.
        prefix: As mmengine's BaseMetric takes it.

    Raises:
        ValueError: A prediction has fewer classes than the largest k.
    """

    default_prefix = 'accuracy'

    def __init__(self, topk: Sequence[int] = (1, 5), collect_device: str = 'cpu', prefix: Optional[str] = None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep, for each image of a batch, for each k whether the prediction is right.

        Args:
            data_batch: Holds the labels (N,) as ``data_samples``.
            data_samples: N predictions with ``score`` (K,).
        """
        scores = torch.stack([sample['score'] for sample in data_samples]).cpu()
        if scores.shape[1] < max(self.topk):
            raise ValueError(f'top-{max(self.topk)} accuracy of {scores.shape[1]} classes: choose a smaller topk')
        order = scores.argsort(dim=1, descending=True, stable=True)
        right = order == data_batch['data_samples'].view(-1, 1)
        self.results += torch.stack([right[:, :k].any(dim=1) for k in self.topk], dim=1).tolist()

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the mean over all images, unrounded."""
        shares = torch.tensor(results, dtype=torch.float64).mean(dim=0)
        return {f'top{k}': float(share) for k, share in zip(self.topk, shares, strict=True)}
