"""Tensors as text, for the state of a searcher."""

import base64

import numpy as np
import torch
from torch import Tensor


def to_text(tensor: Tensor) -> str:
    """Return the bytes of a tensor of float32, of any shape, as base64."""
    return base64.b64encode(tensor.detach().numpy().astype('<f4').tobytes()).decode()


def from_text(text: str) -> Tensor:
    """Return what :func:`to_text` wrote, flat."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), '<f4').astype(np.float32))
