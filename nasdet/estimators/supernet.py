"""Scores by weight sharing: one supernet is trained once, and each genotype is a path through it.

G. Bender et al., "Understanding and Simplifying One-Shot Architecture Search", ICML 2018; Z. Guo et al., "Single Path
One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, arXiv:1904.00420.
"""

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Iterable, Iterator, Optional, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from nasdet.datasets.config import metric_names
from nasdet.errors import SearchError
from nasdet.estimators.base import Estimator
from nasdet.estimators.files import WEIGHTS, write_config
from nasdet.estimators.fingerprint import digest, hash_config, hash_file
from nasdet.estimators.scoring import SupernetScorer
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.registry import ESTIMATORS
from nasdet.spaces.base import Space
from nasdet.training import PathSamplingHook, ProgressHook, build_runner, recalibrated, save_weights, searched_modules
from nasdet.training.precision import keep_outputs_exact
from nasdet.training.runner import source_epochs
from nasdet.training.subset import check_images, innermost

FOLDER = 'supernet'


@ESTIMATORS.register_module()
class SupernetEstimator(Estimator):
    """Trains the space's supernet once, one uniformly drawn path an iteration, and scores paths of it.

    A candidate's batch norm statistics are measured anew on search-train pictures before it is scored on search-val;
    both go through search-val's pipeline. ``WORK_DIR/supernet/`` holds log, checkpoints and, once trained,
    ``weights.pth``. An evaluation leaves ``config.py`` in its folder.

    Args:
        space: With ``apply`` and ``supernet``.
        config: The prepared config.
        work_dir: The search's folder.
        epochs: Training epochs of the supernet; None: ``train_cfg.max_epochs``. The schedule is scaled to them.
        images: Evaluated images, the first of search-val; None: all.
        recalibration_images: Images for the batch norm statistics, spread evenly over search-train.
        amp: Mixed precision, in training and evaluation.
        checkpoint: Weights of a supernet trained before, instead of training one.
        threads: CPU threads of a worker that scores.
        train_threads: CPU threads of the supernet's training; None: all cores.
        seed: Of the supernet's training.
        batch_size: Images scored at once.
        cache_megabytes: What a worker keeps in memory of either set of images at most (MiB).
        num_workers: Processes that load data for the supernet's training; 0 loads in the same process.
    """

    requires = ('apply', 'supernet')
    long_lived = True

    def __init__(self, space: Space, config: Config, work_dir: Union[str, Path], epochs: Optional[int] = None,
                 images: Optional[int] = None, recalibration_images: int = 200, amp: bool = False,
                 checkpoint: Optional[str] = None, threads: int = 1, train_threads: Optional[int] = None,
                 seed: int = 0, batch_size: int = 16, cache_megabytes: float = 1024, num_workers: int = 0):
        super().__init__(space, config, work_dir)
        self.epochs = epochs or source_epochs(config)
        self.images, self.recalibration_images = images, recalibration_images
        self.amp, self.threads, self.train_threads, self.seed = amp, threads, train_threads, seed
        self.batch_size, self.cache_megabytes, self.num_workers = batch_size, cache_megabytes, num_workers
        self.checkpoint = Path(checkpoint) if checkpoint else self.work_dir / FOLDER / WEIGHTS
        self.trained_elsewhere = checkpoint is not None
        self.scorer: Optional[SupernetScorer] = None

    # ---- once, in the driver

    @property
    def metric_names(self) -> Optional[Collection[str]]:
        """Names of the figures of the config's metric."""
        return metric_names(self.config)

    def check(self) -> None:
        """Refuse more images than search-val has, and a given checkpoint that does not exist."""
        check_images(self.config, 'val_dataloader', self.images)
        if self.trained_elsewhere and not self.checkpoint.exists():
            raise ValueError(f'there is no supernet checkpoint {self.checkpoint.absolute()}: correct '
                             f'search.estimator.checkpoint, or leave it out to train one')

    def prepare(self) -> None:
        """Train the supernet, or go on with a training that was killed; a finished one is not repeated.

        Raises:
            SearchError: The loss became no number.
        """
        if self.checkpoint.exists():
            return
        with _threads(self.train_threads or len(os.sched_getaffinity(0))):
            self._train()

    def _train(self) -> None:
        folder = self.checkpoint.parent
        progress = ProgressHook('supernet training')
        runner = build_runner(self.config, self.space.supernet(self.config.model), folder, self.epochs, self.seed,
                              self.amp, checkpoints=True, num_workers=self.num_workers,
                              hooks=[PathSamplingHook(self.space, self.seed), progress])
        try:
            runner.train()
        except FloatingPointError as error:
            raise SearchError(f'the supernet training in {folder} failed: {error}') from error
        finally:
            progress.close()
            runner.close()
        save_weights(self.checkpoint, runner.model.state_dict(), epoch=runner.epoch)
        for leftover in (*folder.glob('epoch_*.pth*'), folder / 'last_checkpoint'):
            leftover.unlink()

    # ---- once in each worker

    def setup(self) -> None:
        """Load the supernet and the pictures."""
        init_default_scope(self.config.get('default_scope', 'mmdet'))
        model = MODELS.build(self.space.supernet(self.config.model))
        weights = torch.load(self.checkpoint, map_location='cpu', weights_only=True)
        model.load_state_dict(weights.get('state_dict', weights), strict=True)
        model.to(get_device()).eval()
        if self.amp:
            keep_outputs_exact(model)
        self.scorer = SupernetScorer(model, self.amp, self.cache_megabytes)
        self.evaluator = Evaluator(self.config.val_evaluator)
        self._scored: dict[Optional[int], Iterable[dict]] = {}
        self._calibration = self._load(innermost(self.config.train_dataloader.dataset), self.recalibration_images,
                                       spread=True)

    def _load(self, dataset: dict, images: Optional[int], spread: bool) -> Iterable[dict]:
        """Load pictures of a split through search-val's pipeline: the first, or some spread evenly over it."""
        pipeline = innermost(self.config.val_dataloader.dataset).pipeline
        built = DATASETS.build({**dataset, 'pipeline': pipeline, 'test_mode': True})
        self.evaluator.dataset_meta = built.metainfo
        if images is not None and images < len(built):
            chosen = np.linspace(0, len(built) - 1, images).round() if spread else np.arange(images)
            built = built.get_subset([int(index) for index in chosen])
        # Batch statistics of a single value do not exist, and the coarsest map of one picture may have just one.
        drop_last = spread and len(built) % self.batch_size == 1 < len(built)
        loader = Runner.build_dataloader(dict(
            dataset=built, batch_size=self.batch_size, num_workers=0, drop_last=drop_last,
            sampler=dict(type='DefaultSampler', shuffle=False)))
        with torch.inference_mode():
            return self.scorer.load(loader)

    def _batches(self, images: Optional[int]) -> Iterable[dict]:
        if images not in self._scored:
            self._scored[images] = self._load(innermost(self.config.val_dataloader.dataset), images, spread=False)
        return self._scored[images]

    # ---- for each candidate

    def evaluate(self, genotype: Genotype, budget: Budget, seed: int, folder: Optional[Path] = None) -> Evaluation:
        """Score a path with batch norm statistics of its own.

        Args:
            genotype: Of the space.
            budget: ``images`` may be given; the supernet's epochs and resolution are what they are.
            seed: Not used: nothing is drawn.
            folder: For ``config.py``.

        Returns:
            The metrics of the config's evaluator on search-val.

        Raises:
            ValueError: A budget of epochs or of a resolution.
        """
        if budget.epochs is not None or budget.resolution is not None:
            raise ValueError(f'a supernet scores with the epochs and the resolution it was trained with, not {budget}')
        started = time.perf_counter()
        batches = self._batches(self.images if budget.images is None else budget.images)
        with self._on_path(genotype):
            metrics, images = self.scorer.score(batches, self.evaluator)
        if folder is not None:
            write_config(self.config, self.space.apply(genotype, self.config.model), Path(folder))
        return Evaluation(
            metrics={name: float(value) for name, value in metrics.items()},
            cost=dict(seconds=time.perf_counter() - started, images=images),
            fidelity=dict(epochs=self.epochs, images=images, recalibration_images=self.recalibration_images,
                          checkpoint=hash_file(self.checkpoint)[:16]))

    @contextmanager
    def _on_path(self, genotype: Genotype) -> Iterator[None]:
        """Set a path and recalibrate its batch norm statistics, under inference mode."""
        model = self.scorer.model
        for module in searched_modules(model).values():
            module.set_path(genotype.plain())
        with torch.inference_mode(), recalibrated(model, self._calibration, self.scorer.calibrate,
                                                  self.scorer.recalibrated_modules):
            yield

    def weights(self, genotype: Genotype, folder: Optional[Path], path: Path) -> bool:
        """Write the path's weights, with its batch norm statistics, as a plain detector's checkpoint.

        Args:
            genotype: Of the space.
            folder: Not used: the supernet has the weights of every genotype.
            path: The file to write.

        Returns:
            True.
        """
        if self.scorer is None:
            self.setup()
        detector = MODELS.build(self.space.apply(genotype, self.config.model))
        with _threads(self.threads), self._on_path(genotype):
            detector.load_state_dict(self._extracted(genotype), strict=True)
        meta = dict(classes=self.evaluator.dataset_meta['classes'], palette=self.evaluator.dataset_meta['palette'])
        save_weights(path, detector.state_dict(), dataset_meta=meta)
        return True

    def _extracted(self, genotype: Genotype) -> dict[str, Tensor]:
        """Return the state of the genotype's own detector: what is searched extracted, the rest as it is."""
        model = self.scorer.model
        searched = searched_modules(model)
        inside = tuple(f'{name}.' for name in searched)
        state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
        for name, module in searched.items():
            extracted = module.extract(genotype.plain()).state_dict()
            state.update({f'{name}.{inner}': tensor for inner, tensor in extracted.items()})
        return state

    @property
    def fingerprint(self) -> str:
        """Hash of the supernet's weights, of model and annotations, and of how candidates are scored."""
        return digest('SupernetEstimator', hash_config(self.config, recipe=False), hash_file(self.checkpoint),
                      self.images, self.recalibration_images, self.batch_size, self.amp, self.threads)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
