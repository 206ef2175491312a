"""Scores by training: each genotype a network of its own, from scratch, as long as the budget says."""

import copy
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Collection, Optional

import numpy as np
from mmengine.config import Config

from nasdet.datasets.config import metric_names
from nasdet.datasets.tasks import task_of
from nasdet.estimators.base import Estimator
from nasdet.estimators.files import WEIGHTS, write_config
from nasdet.estimators.fingerprint import digest, hash_config
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.registry import ESTIMATORS
from nasdet.spaces.base import Space
from nasdet.training import TrainingRunner, build_runner, save_trained
from nasdet.training.runner import source_epochs
from nasdet.training.subset import check_images, image_count, limit_images


@ESTIMATORS.register_module()
class TrainingEstimator(Estimator):
    """Trains each genotype on search-train and evaluates it on search-val.

    An evaluation leaves ``config.py``, ``log.txt`` and ``weights.pth`` in its folder. On a CPU, equal arguments give
    equal metrics bit for bit.

    Args:
        space: With ``apply``.
        config: The prepared config.
        work_dir: Not used.
        epochs: Training epochs; None: ``train_cfg.max_epochs``. The learning rate schedule is scaled to them.
        images: Evaluated images of search-val, a detector's the first ones, a classifier's drawn once from all classes;
            None: all.
        resolution: Longer side of evaluated images in pixels. Every size of a detector's pipelines is scaled with it;
            a classifier's images are resized after all other transforms.
        train_images: Training images of search-train, taken in the same way; None: all.
        amp: Mixed precision.
        threads: CPU threads.
        num_workers: Processes that load data; 0 loads in the worker itself.

    Raises:
        ValueError: A pipeline or a schedule that cannot be scaled.
    """

    requires = ('apply',)

    def __init__(self, space: Space, config: Config, work_dir=None, epochs: Optional[int] = None,
                 images: Optional[int] = None, resolution: Optional[int] = None, train_images: Optional[int] = None,
                 amp: bool = False, threads: int = 1, num_workers: int = 0):
        super().__init__(space, config, work_dir)
        self.budget = Budget(epochs or source_epochs(config), images, resolution)
        self.train_images = train_images
        self.amp = amp
        self.threads = threads
        self.num_workers = num_workers
        self._config(self.budget)       # refuses here what would fail in every trial

    @property
    def metric_names(self) -> Optional[Collection[str]]:
        """Names of the figures of the config's metric."""
        return metric_names(self.config)

    @property
    def training_images(self) -> int:
        """Training images that one evaluation uses, repetitions counted."""
        return self.budget.epochs * image_count(self._config(self.budget), 'train')

    def check(self) -> None:
        """Refuse more images than there are, or fewer than classes."""
        check_images(self.config, 'val', self.budget.images)
        check_images(self.config, 'train', self.train_images)

    def evaluate(self, genotype: Genotype, budget: Budget, seed: int, folder: Optional[Path] = None) -> Evaluation:
        """Train a genotype's network and evaluate it after its last epoch.

        Args:
            genotype: Applied to the config's model.
            budget: What is None there is the estimator's own.
            seed: Of the training.
            folder: For config, log and weights; None leaves nothing.

        Returns:
            The metrics of the config's evaluator; the curve is the mean training loss of each epoch.

        Raises:
            FloatingPointError: The loss is no number.
        """
        started = time.perf_counter()
        used = Budget(**{name: value if (value := getattr(budget, name)) is not None else own
                         for name, own in vars(self.budget).items()})
        config = self._config(used)
        model = self.space.apply(genotype, config.model)
        with nullcontext(folder) if folder is not None else tempfile.TemporaryDirectory() as place:
            write_config(config, model, Path(place))
            runner = build_runner(config, model, place, used.epochs, seed, self.amp, num_workers=self.num_workers)
            try:
                runner.train()
                metrics = runner.val_loop.run()
            finally:
                runner.close()
            save_trained(Path(place) / WEIGHTS, runner)
        seen = len(runner.train_dataloader.dataset)
        return Evaluation(
            metrics={name: float(value) for name, value in metrics.items()},
            cost=dict(seconds=time.perf_counter() - started, images=seen * used.epochs, iterations=runner.iter),
            fidelity=dict(vars(used), images=len(runner.val_dataloader.dataset), train_images=seen),
            curve=_losses(runner))

    def weights(self, genotype: Genotype, folder: Optional[Path], path: Path) -> bool:
        """Copy the weights that an evaluation left.

        Args:
            genotype: Not used: the folder is its.
            folder: Of the evaluation.
            path: The copy.

        Returns:
            Whether there were any.
        """
        if folder is None or not (Path(folder) / WEIGHTS).exists():
            return False
        shutil.copyfile(Path(folder) / WEIGHTS, path)
        return True

    @property
    def fingerprint(self) -> str:
        """Hash of model, recipe, annotations and of the estimator's own arguments."""
        return digest('TrainingEstimator', hash_config(self.config, recipe=True), vars(self.budget), self.train_images,
                      self.amp, self.threads, self.num_workers)

    def _config(self, budget: Budget) -> Config:
        """Return the prepared config at a budget."""
        config = copy.deepcopy(self.config)
        if budget.resolution is not None:
            task_of(config).set_resolution(config, budget.resolution)
        limit_images(config, 'val', budget.images)
        limit_images(config, 'train', self.train_images)
        return config


def _losses(runner: TrainingRunner) -> list:
    """Return ``[epoch, mean loss]`` pairs."""
    values, _ = runner.message_hub.get_scalar('train/loss').data
    epochs = np.reshape(values, (runner.epoch, -1)).mean(1)
    return [[epoch, float(loss)] for epoch, loss in enumerate(epochs, start=1)]
