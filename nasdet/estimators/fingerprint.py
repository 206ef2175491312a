"""Hashes of what a score depends on."""

import hashlib
from pathlib import Path
from typing import Any, Mapping

import torch
from mmengine.config import Config
from torch import Tensor

from nasdet.datasets.classification_splits import dataset_class
from nasdet.datasets.contents import digest, hash_file

DATA = ('train_dataloader', 'val_dataloader', 'val_evaluator')
RECIPE = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'auto_scale_lr')


def hash_config(config: Config, recipe: bool) -> str:
    """Return the hash of a prepared config's model, pipelines and annotations or labelled images.

    Where they lie does not enter, what they say does.

    Args:
        config: The prepared config.
        recipe: Whether the training recipe enters too.
    """
    names = DATA + (RECIPE if recipe else ())
    return hash_part({name: config.get(name) for name in ('model', *names)})


def hash_part(part: Any) -> str:
    """Return the hash of a part of a config, with annotation files by content, not by place."""
    return digest(_located(part))


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the hash of named tensors, bit for bit."""
    hashed = hashlib.sha256()
    for name, tensor in tensors.items():
        hashed.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()


def _located(part: Any) -> Any:
    """Replace the paths of annotation files by their hashes, and leave out where images lie."""
    if isinstance(part, dict):
        labelled = dataset_class(part)
        if labelled is not None:
            return labelled.contents(part)
        root = Path(part.get('data_root') or '')
        plain = {key: _located(value) for key, value in part.items() if key not in ('data_root', 'data_prefix')}
        if plain.get('ann_file'):
            path = root / plain['ann_file']
            plain['ann_file'] = hash_file(path)
        return plain
    if isinstance(part, (list, tuple)):
        return [_located(item) for item in part]
    return part
