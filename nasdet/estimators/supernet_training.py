"""The one training of a supernet, an iteration a path or a sandwich of paths."""

from pathlib import Path
from typing import Mapping, Optional

from mmengine.config import Config

from nasdet.spaces.base import Space
from nasdet.training import PathSamplingHook, build_runner, save_weights, train_shown, trained_state


def train_supernet(space: Space, config: Config, checkpoint: Path, epochs: int, seed: int, amp: bool = False,
                   num_workers: int = 0, sampling: Optional[Mapping] = None,
                   sandwich: Optional[Mapping] = None) -> None:
    """Train a space's supernet, or go on with a training that was killed, and leave nothing but log and weights.

    Args:
        space: With ``supernet``.
        config: The prepared config.
        checkpoint: The file of weights to write; log and checkpoints lie beside it.
        epochs: To train.
        seed: Of the training and of its paths.
        amp: Mixed precision.
        num_workers: Processes that load data; 0 loads in this one.
        sampling: How paths are drawn, as PathSamplingHook takes it.
        sandwich: Arguments of SandwichTrainLoop; None: one path an iteration.

    Raises:
        SearchError: The loss became no number.
    """
    folder = checkpoint.parent
    paths = dict(space=space, seed=seed, sampling=sampling)
    loop, hooks = None, ()
    if sandwich is None:
        hooks = (PathSamplingHook(**paths),)
    else:
        loop = dict(sandwich, type='SandwichTrainLoop', **paths)
    runner = build_runner(config, space.supernet(config.model), folder, epochs, seed, amp, checkpoints=True,
                          num_workers=num_workers, hooks=hooks, loop=loop)
    train_shown(runner, 'supernet training')
    save_weights(checkpoint, trained_state(runner), epoch=runner.epoch)
    for leftover in (*folder.glob('epoch_*.pth*'), folder / 'last_checkpoint'):
        leftover.unlink()
