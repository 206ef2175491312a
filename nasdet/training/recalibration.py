"""Batch norm statistics of one path of a supernet, measured anew before it is scored.

Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, arXiv:1904.00420,
section 3.4: the running statistics of a supernet are a mixture over all paths and belong to none of them.
"""

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Optional

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class PooledStatistics:
    """Mean and variance of all that was added, as of one pooled sample.

    The update is that of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979, equation 2.1b: the spread of the batch means is a part of the variance. Kept in float64.
    """

    def __init__(self):
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0     # sum of squared deviations from the mean

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Add a batch.

        Args:
            count: Values a channel, N * H * W.
            mean: Of the batch, (C,).
            variance: Of the batch, unbiased, (C,).
        """
        delta = mean.double() - self.mean
        total = self.count + count
        self.squares = self.squares + variance.double() * (count - 1) + delta ** 2 * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """Unbiased variance, (C,), as torch keeps it in ``running_var``."""
        return self.squares / (self.count - 1)


def norm_layers(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Return the batch norm layers with running statistics below the given modules, each once."""
    layers = {id(layer): layer for module in modules for layer in module.modules()
              if isinstance(layer, _BatchNorm) and layer.track_running_stats}
    return list(layers.values())


@contextmanager
def recalibrated(model: nn.Module, batches: Iterable, forward: Callable[[Any], Any],
                 modules: Optional[Iterable[nn.Module]] = None) -> Iterator[None]:
    """Give the batch norm layers that the current path uses the statistics of some batches, for a while.

    While measuring, these layers normalise by each batch's own statistics and everything else is in evaluation mode.
    Layers that the forward pass does not touch keep what they have. Weights are never changed. On leaving,
    running statistics and modes are what they were, bit for bit.

    Args:
        model: Left in evaluation mode inside the context.
        batches: What ``forward`` takes, one by one; each with at least two values a channel at every layer.
        forward: Runs the model on one batch.
        modules: Recalibrate the layers below these modules; None: all of ``model``.

    Yields:
        Nothing; the model is ready to be scored.

    Raises:
        ValueError: No batches.
    """
    layers = norm_layers([model] if modules is None else modules)
    modes = [(module, module.training) for module in model.modules()]
    saved = [(layer, layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers(recurse=False)})
             for layer in layers]
    model.eval()
    try:
        for layer, pooled in _measure(layers, batches, forward).items():
            layer.running_mean.copy_(pooled.mean)
            layer.running_var.copy_(pooled.variance)
        model.eval()
        _set_momenta(saved)
        yield
    finally:
        _set_momenta(saved)
        for layer, _, buffers in saved:
            for name, buffer in buffers.items():
                getattr(layer, name).copy_(buffer)
        for module, training in modes:
            module.training = training


@torch.no_grad()
def _measure(layers: list[_BatchNorm], batches: Iterable, forward: Callable) -> dict[_BatchNorm, PooledStatistics]:
    measured: dict[_BatchNorm, PooledStatistics] = {}

    def note(layer, inputs, output):
        count = inputs[0].numel() // inputs[0].shape[1]
        measured.setdefault(layer, PooledStatistics()).add(count, layer.running_mean, layer.running_var)

    handles = [layer.register_forward_hook(note) for layer in layers]
    for layer in layers:
        layer.train()
        layer.momentum = 1.0    # the running statistics after a call are then those of its input
    try:
        number = 0
        for number, batch in enumerate(batches, start=1):   # noqa: B007 - counted
            forward(batch)
        if not number:
            raise ValueError('batch norm recalibration needs at least one batch of images')
    finally:
        for handle in handles:
            handle.remove()
    return measured


def _set_momenta(saved: list) -> None:
    for layer, momentum, _ in saved:
        layer.momentum = momentum
