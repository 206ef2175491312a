"""What the installed OpenMMLab packages cannot do together with the installed torch."""

import os
from typing import Optional

import mmengine
import torch
from mmengine.utils import digit_version

from nasdet.errors import SearchError

# From 2.6 on torch.load refuses what is not plain weights; mmengine's checkpoints hold its log buffers too.
FIRST_STRICT_TORCH = '2.6'
FIRST_ADAPTED_MMENGINE = '0.10.8'
# The variable with which torch.load reads everything again, and the values that torch takes for yes.
TRUST, YES = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', ('1', 'y', 'yes', 'true')


def resume_problem() -> Optional[str]:
    """Return why this mmengine cannot read its checkpoints on this torch, with the ways out; None where it can."""
    adapted = digit_version(mmengine.__version__) >= digit_version(FIRST_ADAPTED_MMENGINE)
    lenient = digit_version(torch.__version__) < digit_version(FIRST_STRICT_TORCH) or os.getenv(TRUST) in YES
    if adapted or lenient:
        return None
    return (f'mmengine {mmengine.__version__} cannot read its own checkpoints with torch {torch.__version__}, so no '
            f'training can be resumed here, and none of its checkpoints tested: set {TRUST}=1 (for checkpoints that '
            f'you trust), or install onedl-mmengine (0.10.8 or later), or torch below 2.6')


def check_operators() -> None:
    """Refuse a visible GPU that mmcv's operators were not compiled for, which would fail in the first NMS.

    Raises:
        SearchError: With what to install, and how to stay on the CPU.
    """
    if torch.cuda.device_count() == 0:
        return
    from mmcv.ops import get_compiling_cuda_version
    if get_compiling_cuda_version() == 'not available':
        raise SearchError("there is a GPU, but mmcv's operators were compiled without CUDA: install the CUDA "
                          f'{torch.version.cuda} toolkit (nvcc) and compile mmcv again (make setup), or set '
                          'CUDA_VISIBLE_DEVICES= to stay on the CPU')
