"""mmengine's Runner for trainings inside a search: in a given folder, for given epochs, quiet, exactly resumable."""

import copy
import itertools
import logging
import os
from pathlib import Path
from typing import Iterable, Mapping, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import is_cuda_available
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from nasdet.errors import SearchError
from nasdet.stack import resume_problem
from nasdet.training.checkpoints import latest_checkpoint
from nasdet.training.hooks import LossCheckHook, ReseedHook
from nasdet.training.precision import keep_outputs_exact, use_mixed_precision
from nasdet.training.schedule import scale_schedule

LOG = 'log.txt'
_numbers = itertools.count()    # mmengine keeps loggers and message hubs by name for the life of a process


class TrainingRunner(Runner):
    """A Runner that logs to ``log.txt`` only and scales its learning rate schedule to its epochs."""

    def build_logger(self, log_level: Union[int, str] = 'INFO', log_file: Optional[str] = None, **kwargs) -> MMLogger:
        """Build a logger that writes to ``WORK_DIR/log.txt`` and not to the terminal, which belongs to the search."""
        logger = super().build_logger(log_level, log_file or str(Path(self.work_dir) / LOG), file_mode='a', **kwargs)
        for handler in [handler for handler in logger.handlers if type(handler) is logging.StreamHandler]:
            logger.removeHandler(handler)
        return logger

    def build_param_scheduler(self, scheduler) -> list:
        """Build the schedulers, carried over from the epochs that the config was written for."""
        if isinstance(scheduler, Mapping) or all(isinstance(item, Mapping) for item in scheduler):
            scheduler = scale_schedule(scheduler, self.cfg.schedule_epochs, self.max_epochs, len(self.train_dataloader))
        return super().build_param_scheduler(scheduler)

    def dump_config(self) -> None:
        """Write nothing: the estimator leaves the config that a person wants to see."""

    def _log_env(self, env_cfg: dict) -> None:
        """Do not collect the environment, which takes seconds in every trial."""

    def close(self) -> None:
        """Close the log file; a process may run thousands of trainings."""
        for handler in list(self.logger.handlers):
            self.logger.removeHandler(handler)
            handler.close()


def build_runner(config: Config, model: Mapping, folder: Union[str, Path], epochs: Optional[int] = None, seed: int = 0,
                 amp: bool = False, checkpoints: bool = False, launcher: str = 'none',
                 find_unused_parameters: bool = False, num_workers: Optional[int] = 0,
                 hooks: Iterable[Hook] = (), loop: Optional[Mapping] = None) -> TrainingRunner:
    """Build the Runner of one training; ``runner.train()`` trains, ``runner.val_loop.run()`` then evaluates.

    Args:
        config: The prepared config; not changed.
        model: Model config to train.
        folder: Where log and checkpoints go.
        epochs: To train; None: ``train_cfg.max_epochs`` of the config.
        seed: Of the training.
        amp: Mixed precision, in training and evaluation.
        checkpoints: Write one an epoch (two are kept) and go on from the newest that is whole.
        launcher: ``'pytorch'`` under torchrun.
        find_unused_parameters: For supernets under torchrun: each iteration uses some of the parameters.
        num_workers: Of each data loader; 0 loads in this process, None leaves the config's.
        hooks: Besides those of the config.
        loop: Config of the training loop, without its epochs; None: mmengine's EpochBasedTrainLoop.

    Returns:
        The Runner.

    Raises:
        SearchError: There is a checkpoint, and the installed mmengine cannot read it on the installed torch.
        ValueError: The config counts its training in iterations.
    """
    cfg = runner_config(config, model, folder, epochs, seed, amp, num_workers, loop)
    cfg.launcher = launcher
    if launcher != 'none':
        cfg.model_wrapper_cfg = _distribute(find_unused_parameters)
    if checkpoints:
        _keep_checkpoints(cfg, folder)
    runner = TrainingRunner.from_cfg(cfg)
    if runner.rank == 0:
        Path(runner.log_dir).rmdir()    # mmengine makes a folder named by the time for what we do not write
    if amp:
        keep_outputs_exact(runner.model)
    for hook in (ReseedHook(), LossCheckHook(), *hooks):
        runner.register_hook(hook)
    return runner


def _keep_checkpoints(cfg: Config, folder: Union[str, Path]) -> None:
    """Have a training write a checkpoint an epoch, and go on from the newest that is whole."""
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=2,
                                        backend_args=dict(backend='atomic'))
    newest = latest_checkpoint(folder)
    if newest is None:
        return
    problem = resume_problem()
    if problem:
        raise SearchError(f'cannot go on from {newest}: {problem}')
    cfg.load_from, cfg.resume = str(newest), True


def runner_config(config: Config, model: Mapping, folder: Union[str, Path], epochs: Optional[int], seed: int,
                  amp: bool, num_workers: Optional[int], loop: Optional[Mapping] = None) -> Config:
    """Return the Runner config of one training on one device, without checkpoints."""
    source = source_epochs(config)
    epochs = source if epochs is None else epochs
    cfg = Config(dict(
        model=ConfigDict(copy.deepcopy(model)), work_dir=str(folder), schedule_epochs=source,
        experiment_name=f'{Path(folder).name}-{os.getpid()}-{next(_numbers)}',
        default_scope=config.get('default_scope', 'mmdet'), randomness=dict(seed=seed), env_cfg=dict(),
        train_cfg={'type': 'EpochBasedTrainLoop', **(loop or {}), 'max_epochs': epochs, 'val_begin': epochs + 1},
        val_cfg=dict(type='ValLoop', fp16=amp),
        default_hooks=dict(checkpoint=None), visualizer=dict(type='Visualizer', vis_backends=[])),
        format_python_code=False)       # a Runner prints its whole config; to format that takes longer than to start
    for name in ('train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper', 'param_scheduler',
                 'custom_hooks', 'auto_scale_lr'):
        if config.get(name) is not None:
            cfg[name] = copy.deepcopy(config[name])
    for name in ('train_dataloader', 'val_dataloader'):
        set_workers(cfg[name], num_workers)
    if amp:
        use_mixed_precision(cfg)
    return cfg


def source_epochs(config: Config) -> int:
    """Return the epochs that a config's schedule was written for."""
    epochs = (config.get('train_cfg') or {}).get('max_epochs')
    if not epochs:
        raise ValueError('train_cfg has no max_epochs: a search trains by epochs; set '
                         "train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=...) and a param_scheduler for it")
    return epochs


def set_workers(loader: dict, number: Optional[int]) -> None:
    """Set the processes of a data loader's config: 0 loads in this process, None leaves their number."""
    loader['persistent_workers'] = False     # persistent workers keep random states that no checkpoint holds
    if number is not None:
        loader['num_workers'] = number
        loader.pop('prefetch_factor', None)


def _distribute(find_unused_parameters: bool) -> dict:
    """Return the model wrapper's config; without a GPU also join the process group, where mmengine would need one."""
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False,
                   find_unused_parameters=find_unused_parameters)
    if not is_cuda_available():
        wrapper['device_ids'] = None        # mmengine's default is a GPU's number
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
    return wrapper
