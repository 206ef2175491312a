"""Small hooks of every training: exact resumption, and an end where the loss is no number."""

import math

import numpy as np
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import set_random_seed


@HOOKS.register_module()
class ReseedHook(Hook):
    """Seeds Python, NumPy and torch from (seed, epoch, rank) before each epoch.

    mmengine's checkpoints hold no random state; with this hook a training resumed at an epoch's end draws the same
    augmentations as one that was never stopped.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner) -> None:
        """Seed the epoch."""
        sequence = np.random.SeedSequence((runner.seed, runner.epoch, get_rank()))
        set_random_seed(int(sequence.generate_state(1)[0]))


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Ends a training whose loss is not finite: FloatingPointError, naming the iteration and the terms."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Check the iteration's loss."""
        if not math.isfinite(outputs['loss'].item()):
            terms = ', '.join(f'{name}={value.item():g}' for name, value in outputs.items())
            raise FloatingPointError(f'the loss is not finite in iteration {runner.iter + 1} ({terms}): '
                                     f'lower the learning rate or clip gradients in optim_wrapper')
