"""Checkpoints that a kill cannot tear, and the newest one that is whole."""

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Mapping, Optional, Union

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import Runner


class AtomicBackend(LocalBackend):
    """mmengine's local file backend, but a file appears complete or not at all.

    mmengine writes a checkpoint in place, so that a kill in the middle leaves a torn file under its final name.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write to a temporary name, flush to the disk, rename."""
        filepath = Path(filepath)
        filepath.parent.mkdir(parents=True, exist_ok=True)
        temporary = filepath.with_name(f'{filepath.name}.tmp')
        with open(temporary, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, filepath)


register_backend('atomic', AtomicBackend, force=True)


def latest_checkpoint(folder: Union[str, Path]) -> Optional[Path]:
    """Return the checkpoint of the most epochs in a folder; a torn one is passed over with a warning.

    Args:
        folder: Holds ``epoch_N.pth`` files.

    Returns:
        None where there is none.
    """
    numbered = []
    for path in Path(folder).glob('epoch_*.pth'):
        match = re.fullmatch(r'epoch_(\d+)\.pth', path.name)
        if match:
            numbered.append((int(match.group(1)), path))
    for _, path in sorted(numbered, reverse=True):
        if zipfile.is_zipfile(path):
            return path
        warnings.warn(f'{path} is torn and is passed over: the training goes on from the checkpoint before it',
                      stacklevel=2)
    return None


def trained_state(runner: Runner) -> dict[str, torch.Tensor]:
    """Return the weights of a trained network as a checkpoint would hold them: averaged, where a hook averages them.

    Args:
        runner: After its last epoch.
    """
    checkpoint = dict(state_dict=runner.model.state_dict())
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    return checkpoint['state_dict']


def save_trained(path: Union[str, Path], runner: Runner) -> None:
    """Write the weights of :func:`trained_state` as a plain checkpoint, complete or not at all.

    Args:
        path: The file.
        runner: After its last epoch.
    """
    save_weights(path, trained_state(runner), epoch=runner.epoch,
                 dataset_meta=shown_meta(runner.val_dataloader.dataset.metainfo))


def shown_meta(metainfo: Mapping) -> dict:
    """Return what a checkpoint says of the data it was trained on: names of classes and, of a detector, colours."""
    return {name: metainfo[name] for name in ('classes', 'palette') if name in metainfo}


def save_weights(path: Union[str, Path], state_dict: Mapping[str, torch.Tensor], **meta) -> None:
    """Write weights as a plain checkpoint, complete or not at all.

    Args:
        path: The file.
        state_dict: Parameters and buffers by name.
        **meta: Plain values kept beside them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.tmp')
    plain = {name: tensor.detach().cpu().clone() for name, tensor in state_dict.items()}
    with open(temporary, 'wb') as file:
        torch.save(dict(meta=meta, state_dict=plain), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
