"""Mixed precision on a GPU (mmengine's own) and on a CPU."""

from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

EXACT_OUTPUTS = ('neck', 'rpn_head', 'bbox_head', 'mask_head')


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


def keep_outputs_exact(model: nn.Module) -> None:
    """Make the neck and the heads of a detector return float32 under autocast.

    A box coordinate above 256 has steps of two pixels in bfloat16, and mmcv's operators on a CPU (non-maximum
    suppression, RoIAlign) take no bfloat16 at all. The convolutions inside still run in the lower precision.

    Args:
        model: A detector; it gets forward hooks.
    """
    for name, module in model.named_modules():
        if name.split('.')[-1] in EXACT_OUTPUTS:
            module.register_forward_hook(lambda module, inputs, outputs: _to_float32(outputs))


def _to_float32(outputs: Any) -> Any:
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {name: _to_float32(output) for name, output in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return type(outputs)(_to_float32(output) for output in outputs)
    return outputs
