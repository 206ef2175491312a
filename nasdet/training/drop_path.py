"""The schedule of drop-path.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1 (ScheduledDropPath).
"""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DropPathScheduleHook(Hook):
    """Lets the probability to drop a path grow linearly from 0 to the network's ``drop_path``.

    It follows from the iteration, so a resumed training goes on as if it had never stopped.

    Args:
        by_epoch: Whether it grows once an epoch (DARTS) rather than with every iteration.
    """

    def __init__(self, by_epoch: bool = False):
        self.by_epoch = by_epoch
        self.networks = []

    def before_train(self, runner) -> None:
        """Find the networks; ValueError where there is none."""
        self.networks = [module for module in runner.model.modules() if hasattr(module, 'set_drop_path_progress')]
        if not self.networks:
            raise ValueError('DropPathScheduleHook: no part of this model has a drop-path to schedule '
                             '(CellNetwork has): remove the hook from custom_hooks')

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set the probabilities of this iteration."""
        done, total = (runner.epoch, runner.max_epochs) if self.by_epoch else (runner.iter, runner.max_iters)
        for network in self.networks:
            network.set_drop_path_progress(done / total)
