"""Mixed precision on a GPU (mmengine's own) and on a CPU."""

from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Trains on a CPU with bfloat16 autocast, which mmengine's wrapper refuses; it needs no loss scale."""

    @contextmanager
    def optim_context(self, model):
        """Run the forward pass under autocast."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def use_mixed_precision(config: Config) -> None:
    """Make a config train and evaluate in mixed precision, on the device that this process has.

    Args:
        config: With ``optim_wrapper``; changed in place.

    Raises:
        ValueError: The config has an optimiser wrapper of its own.
    """
    kind = config.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'CpuAmpOptimWrapper'):
        raise ValueError(f'amp=True replaces optim_wrapper.type, which is {kind!r}: leave amp off, or use OptimWrapper')
    config.optim_wrapper.type = 'AmpOptimWrapper' if is_cuda_available() else 'CpuAmpOptimWrapper'


def inference_context(amp: bool):
    """Return the autocast context of an evaluation: float16 on a GPU, bfloat16 on a CPU, nothing without ``amp``."""
    device = 'cuda' if is_cuda_available() else 'cpu'
    return torch.autocast(device, torch.float16 if device == 'cuda' else torch.bfloat16, enabled=amp)
