"""Parts of a network that a training leaves as they are."""

from typing import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(parts: Iterable[nn.Module]) -> None:
    """Keep the parameters and the batch norm statistics of some parts; to be called after each change of mode."""
    for part in parts:
        part.eval()
        part.requires_grad_(False)


def keep_statistics(network: nn.Module) -> None:
    """Keep all batch norm statistics of a network; to be called after each change of mode."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
