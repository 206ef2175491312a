"""DARTS: weights and a continuous relaxation of the architecture, trained in turn by gradients.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055; numbers, and what the paper
leaves open, as in the authors' code.
"""

import copy
import time
from pathlib import Path
from typing import Mapping, Optional

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.runner import CheckpointLoader

from nasdet.datasets.dataloaders import innermost
from nasdet.datasets.tasks import task_of
from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.protocol import Evaluation
from nasdet.registry import TRAINERS
from nasdet.spaces.base import Space
from nasdet.trainers.base import Record, Trainer
from nasdet.training import build_runner, latest_checkpoint, set_workers, train_shown
from nasdet.training.architecture_step import check_virtual_step
from nasdet.training.bilevel import ADAM, count_skips, relaxed_module
from nasdet.training.runner import source_epochs
from nasdet.training.subset import image_count

FOLDER = 'training'
CONSTRUCTOR = 'WeightsOptimWrapperConstructor'


@TRAINERS.register_module()
class DARTSTrainer(Trainer):
    """Trains a space's relaxation: in each iteration the architecture on search-val, then the weights on search-train.

    A step is an epoch. It is recorded with the genotype that the architecture parameters stand for, the accuracy of
    the whole relaxation on search-val, and the identities (``skips``) in the normal cell, of which many are the known
    sign of a search that fails. The genotype of the end is one step more, the only candidate, with the accuracy of the
    relaxation at the end. It has no weights from the search: its network is trained from scratch, and only that says
    how good it is.

    ``WORK_DIR/training/`` holds log and checkpoints.

    Args:
        space: With ``relaxed``.
        config: The prepared config; its ``optim_wrapper`` and ``param_scheduler`` are those of the weights.
        work_dir: The search's folder.
        epochs: Of the training; None: ``train_cfg.max_epochs``. The schedule is scaled to them.
        order: 2 differentiates through a virtual step of the weights, which takes five forward and backward passes an
            iteration, four of them on the batch of search-train; 1 takes the weights as they are, in two passes.
        architecture: Arguments of the architecture parameters' Adam that are not the paper's.
        warmup_epochs: Epochs of the weights alone before; 0 in the paper.
        max_skips: End the search after the epoch in which the normal cell has more identities than this, with the
            genotype of the epoch before; None, as in the paper: never.
        num_workers: Processes that load data for the training, of each split; 0 loads in the same process.
        seed: In a search, the search's where the config does not say.
    """

    requires = ('apply', 'relaxed')

    def __init__(self, space: Space, config: Config, work_dir: Path, epochs: Optional[int] = None, order: int = 2,
                 architecture: Optional[Mapping] = None, warmup_epochs: int = 0, max_skips: Optional[int] = None,
                 num_workers: int = 0, seed: int = 0):
        super().__init__(space, config, work_dir)
        self.epochs = epochs or source_epochs(config)
        self.order, self.architecture = order, {**ADAM, **(architecture or {})}
        self.warmup_epochs, self.max_skips = warmup_epochs, max_skips
        self.num_workers, self.seed = num_workers, seed
        self.folder = self.work_dir / FOLDER

    @property
    def steps(self) -> int:
        """Epochs, as many as were trained where ``max_skips`` has ended the search, and the result."""
        return self._trained_epochs() + 1

    @property
    def images(self) -> int:
        """Images that the weights are trained on in these epochs, and after the warm-up as many for the architecture.

        Each step counts its batch once, however many passes over it the second order takes.
        """
        return (2 * self._trained_epochs() - self.warmup_epochs) * image_count(self.config, 'train')

    def _trained_epochs(self) -> int:
        """Return the epochs after which ``max_skips`` has ended the search; all of them where it has not."""
        newest = latest_checkpoint(self.folder) if self.max_skips is not None else None
        if newest is None:
            return self.epochs
        checkpoint = CheckpointLoader.load_checkpoint(str(newest), map_location='cpu', logger='silent')
        return checkpoint['meta']['epoch'] if checkpoint['architecture']['stopped'] else self.epochs

    def check(self) -> None:
        """Refuse numbers that do not fit, and data or an optimiser that the training could not use.

        Raises:
            ValueError: One of these.
        """
        if self.order not in (1, 2):
            raise ValueError(f'DARTSTrainer: order is 1 or 2, not {self.order!r}')
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f'DARTSTrainer: warmup_epochs is at least 0 and less than epochs={self.epochs}, not '
                             f'{self.warmup_epochs}')
        if self.config.optim_wrapper.get('constructor', CONSTRUCTOR) != CONSTRUCTOR:
            raise ValueError('DARTSTrainer keeps architecture parameters out of the optimiser by a constructor of its '
                             'own: leave constructor out of optim_wrapper')
        if self.config.optim_wrapper.get('type', 'OptimWrapper') != 'OptimWrapper':
            raise ValueError(f"DARTSTrainer computes the architecture's gradients in float32: leave optim_wrapper.type "
                             f"an OptimWrapper, not {self.config.optim_wrapper.type}")
        if self.config.optim_wrapper.get('accumulative_counts', 1) != 1:
            raise ValueError('DARTSTrainer makes a step of the weights in each iteration: leave accumulative_counts '
                             'out of optim_wrapper')
        model = build_on_meta(self.space.relaxed(self.config.model))
        relaxed_module(model)
        if self.order == 2:
            optimiser = dict(self.config.optim_wrapper, constructor=CONSTRUCTOR)
            check_virtual_step(build_optim_wrapper(model, optimiser).optimizer)
        batch, images = self.config.train_dataloader.batch_size, image_count(self.config, 'val')
        if images < batch:
            raise ValueError(f'search-val has {images} images, fewer than a batch of {batch}, which the architecture '
                             f'is trained on: take a smaller batch_size in train_dataloader, or more images')

    def run(self, record: Record) -> None:
        """Train all epochs."""
        config = copy.deepcopy(self.config)
        config.optim_wrapper.constructor = CONSTRUCTOR
        loop = dict(type='BilevelTrainLoop', val_dataloader=self._search_val(), order=self.order,
                    architecture=self.architecture, warmup_epochs=self.warmup_epochs, max_skips=self.max_skips)
        runner = build_runner(config, self.space.relaxed(config.model), self.folder, self.epochs, self.seed,
                              checkpoints=True, num_workers=self.num_workers, loop=loop,
                              hooks=[DARTSRecordHook(self.space, record)])
        train_shown(runner, 'DARTS training')

    def _search_val(self) -> ConfigDict:
        """Return the loader of search-val in mixed order and whole batches, read as search-train is."""
        loader = copy.deepcopy(self.config.train_dataloader)
        augmented = task_of(self.config).read_as(innermost(self.config, 'val'), innermost(self.config, 'train'))
        augmented.pop('test_mode', None)    # of a detector's data: they are trained on here
        loader.update(dataset=augmented, drop_last=True, sampler=dict(type='DefaultSampler', shuffle=True))
        set_workers(loader, self.num_workers)
        return loader


class DARTSRecordHook(Hook):
    """Records each epoch with the genotype that the architecture parameters stand for, and at the end the result.

    Args:
        space: Of the genotypes.
        record: Takes the steps.
    """

    def __init__(self, space: Space, record: Record):
        self.space, self.record = space, record

    def before_train_epoch(self, runner) -> None:
        """Note the time."""
        self.started = time.perf_counter()

    def after_train_epoch(self, runner) -> None:
        """Score the relaxation on search-val and record the epoch, before its checkpoint is written."""
        loop = runner.train_loop
        metrics = {name: float(value) for name, value in runner.val_loop.run().items()}
        cost = dict(seconds=time.perf_counter() - self.started, iterations=len(loop.dataloader))

        def record(number, value, cost, **said):
            fidelity = dict(epochs=runner.epoch + 1, skips=count_skips(value))
            self.record(number, Genotype(self.space.name, value), Evaluation(metrics, cost, fidelity), **said)

        record(runner.epoch, loop.relaxed.derive(), cost)
        if loop.is_last_epoch:
            record(runner.epoch + 1, loop.derived, {}, candidate=True)
