"""Small hooks of every training: exact resumption, and an end where the loss is no number."""

import math
import random
from functools import partial

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader


@HOOKS.register_module()
class ReseedHook(Hook):
    """Seeds Python, NumPy and torch from (seed, epoch, rank) before each epoch, and in each worker of the data loader.

    mmengine's checkpoints hold no random state; with this hook a training resumed at an epoch's end draws the same
    augmentations as one that was never stopped. mmengine also seeds the workers of every epoch with the same number,
    so that they would draw the same augmentations again. Workers that live on from epoch to epoch
    (``persistent_workers=True``) are seeded once, and are not the same after a resumption.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner) -> None:
        """Seed the epoch."""
        entropy = (runner.seed, runner.epoch, get_rank())
        set_random_seed(_mixed(entropy))
        seed_workers(runner.train_dataloader, entropy)


def seed_workers(loader: DataLoader, entropy: tuple) -> None:
    """Seed the workers that a data loader starts from now on, each with another number.

    Args:
        loader: Its workers do not live on from epoch to epoch.
        entropy: Whole numbers.
    """
    loader.worker_init_fn = partial(_seed_worker, entropy)


def _seed_worker(entropy: tuple, worker: int) -> None:
    seed = _mixed((*entropy, worker + 1))       # not worker 0: NumPy takes a zero at the end for nothing
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)     # mmengine's set_random_seed would seed CUDA, which fails in a forked process


def _mixed(entropy: tuple) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Ends a training whose loss is not finite: FloatingPointError, naming the iteration and the terms."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Check the iteration's loss."""
        if not math.isfinite(outputs['loss'].item()):
            terms = ', '.join(f'{name}={value.item():g}' for name, value in outputs.items())
            raise FloatingPointError(f'the loss is not finite in iteration {runner.iter + 1} ({terms}): '
                                     f'lower the learning rate or clip gradients in optim_wrapper')
