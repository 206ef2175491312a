"""Scores by weight sharing: one supernet is trained once, and each genotype is a path through it.

G. Bender et al., "Understanding and Simplifying One-Shot Architecture Search", ICML 2018; Z. Guo et al., "Single Path
One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, arXiv:1904.00420.
"""

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Iterable, Iterator, Mapping, Optional, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader

from nasdet.datasets.config import metric_names
from nasdet.datasets.dataloaders import innermost
from nasdet.estimators.base import Estimator
from nasdet.estimators.features import FeatureCache, size_of
from nasdet.estimators.files import WEIGHTS, write_config
from nasdet.estimators.fingerprint import digest, hash_config, hash_file, hash_part, hash_tensors
from nasdet.estimators.scoring import SupernetScorer, scoring_loader
from nasdet.estimators.supernet_training import train_supernet
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.registry import ESTIMATORS
from nasdet.spaces.base import Space
from nasdet.training import check_sandwich, recalibrated, save_weights
from nasdet.training.checkpoints import shown_meta
from nasdet.training.paths import build_sampler, extracted_state, searched_modules, set_path
from nasdet.training.precision import keep_outputs_exact
from nasdet.training.pretrained import check_pretrained
from nasdet.training.runner import source_epochs
from nasdet.training.subset import check_images

FOLDER = 'supernet'


@ESTIMATORS.register_module()
class SupernetEstimator(Estimator):
    """Trains the space's supernet once, one path an iteration, and scores paths of it.

    A candidate's batch norm statistics are measured anew on search-train images before it is scored on search-val;
    both are read as search-val is. ``WORK_DIR/supernet/`` holds log, checkpoints and, once trained, ``weights.pth``.
    An evaluation leaves ``config.py`` in its folder.

    Where a hook of the config averages weights (EMAHook), the averages are scored, as after any training. What the path
    of an iteration does not use enters the averages as it is.

    Where only necks or heads are searched, the trained backbone gives the same maps for every candidate. With
    ``cache_features`` they are computed once, after the training, and kept on disk, where all workers map them into
    memory: a candidate then costs neck and head only, and has the same score bit for bit. Their size is logged before
    anything is trained (from the shapes of the first batch), and is refused where it exceeds ``cache_gigabytes`` or
    the free space. The files are kept by hash of backbone, weights, images and precision, so that they are never used
    for others. A backbone that also stays as it is while the supernet is trained is MMDetection's
    ``backbone=dict(frozen_stages=4, norm_eval=True)`` with pretrained weights in its ``init_cfg``.

    Args:
        space: With ``apply`` and ``supernet``.
        config: The prepared config.
        work_dir: The search's folder.
        epochs: Training epochs of the supernet; None: ``train_cfg.max_epochs``. The schedule is scaled to them.
        images: Evaluated images of search-val, as TrainingEstimator takes them; None: all.
        recalibration_images: Images for the batch norm statistics, spread evenly over search-train; one fewer where the
            last batch would hold a single one.
        amp: Mixed precision, in training and evaluation.
        checkpoint: Weights of a supernet trained before, also by ``nasdet train``, instead of training one.
        threads: CPU threads of a worker that scores.
        train_threads: CPU threads of the supernet's training; None: all cores.
        seed: Of the supernet's training; in a search, the search's where the config does not say.
        batch_size: Images scored at once.
        cache_features: Keep the backbone's maps on disk.
        cache_gigabytes: What they may take (GiB).
        features_dir: Their folder; None: ``WORK_DIR/features``.
        cache_megabytes: Without ``cache_features``, what a worker keeps in memory of either set of decoded images at
            most (MiB).
        num_workers: Processes that load data, in the supernet's training and where images to score do not fit into
            ``cache_megabytes``; 0 loads in the same process.
        sampling: How the paths that it is trained on are drawn, as PathSamplingHook takes it; None: uniformly.
        sandwich: Train the largest, the smallest and some drawn paths in each iteration, with these arguments of
            SandwichTrainLoop (``dict(random_children=2)``); None: one path.
    """

    requires = ('apply', 'supernet')
    long_lived = True

    def __init__(self, space: Space, config: Config, work_dir: Union[str, Path], epochs: Optional[int] = None,
                 images: Optional[int] = None, recalibration_images: int = 200, amp: bool = False,
                 checkpoint: Optional[str] = None, threads: int = 1, train_threads: Optional[int] = None,
                 seed: int = 0, batch_size: int = 16, cache_features: bool = False, cache_gigabytes: float = 64,
                 features_dir: Optional[str] = None, cache_megabytes: float = 1024, num_workers: int = 0,
                 sampling: Optional[Mapping] = None, sandwich: Optional[Mapping] = None):
        super().__init__(space, config, work_dir)
        self.epochs = epochs or source_epochs(config)
        self.images, self.recalibration_images = images, recalibration_images
        self.amp, self.threads, self.train_threads, self.seed = amp, threads, train_threads, seed
        self.batch_size, self.cache_megabytes, self.num_workers = batch_size, cache_megabytes, num_workers
        self.checkpoint = Path(checkpoint) if checkpoint else self.work_dir / FOLDER / WEIGHTS
        self.trained_elsewhere = checkpoint is not None
        self.sampling, self.sandwich = sampling, sandwich
        self.cache_features = cache_features
        self.features = FeatureCache(Path(features_dir or self.work_dir / 'features').absolute(), cache_gigabytes)
        self.scorer: Optional[SupernetScorer] = None

    # ---- once, in the driver

    @property
    def metric_names(self) -> Optional[Collection[str]]:
        """Names of the figures of the config's metric."""
        return metric_names(self.config)

    def check(self) -> None:
        """Refuse more images than there are, a wrong sampling or checkpoint, and features that cannot be kept.

        Raises:
            ValueError: One of these; the features' backbone is searched.
            SearchError: The features take too much room.
        """
        check_images(self.config, 'val', self.images)
        supernet = self.space.supernet(self.config.model)       # a space refuses here what it cannot share
        build_sampler(self.sampling, self.space, supernet)
        if self.sandwich is not None:
            check_sandwich(self.space, supernet)
        if self.trained_elsewhere and not self.checkpoint.exists():
            raise ValueError(f'there is no supernet checkpoint {self.checkpoint.absolute()}: correct '
                             f'search.estimator.checkpoint, or leave it out to train one')
        if not self.checkpoint.exists():
            check_pretrained(supernet, 'search.space')
        if self.cache_features:
            self._check_features()

    def _check_features(self) -> None:
        scorer = self._build_scorer()
        if not scorer.backbone_is_shared:
            searched = ', '.join(searched_modules(scorer.model)) or 'the whole detector'
            raise ValueError(f'cache_features=True is for single- and two-stage detectors of which only neck or heads '
                             f'are searched; {self.space.name} searches {searched} of a {type(scorer.model).__name__}: '
                             f'leave cache_features out')
        if not self.checkpoint.exists():    # else the features are there, or are announced when they are written
            loaders = [scoring_loader(self.config, split, images, self.batch_size)
                       for split, images in (('val', self.images), ('train', self.recalibration_images))]
            with torch.inference_mode():
                stored = scorer.extract(next(iter(loaders[0])))
            total = sum(len(loader.dataset) for loader in loaders)
            self.features.announce(total, size_of(stored) / len(stored['metainfo']) * total)

    def prepare(self) -> None:
        """Train the supernet, or go on with a training that was killed, and write its features; once each.

        Raises:
            SearchError: The loss became no number, or the features take too much room.
        """
        if not self.checkpoint.exists():
            with _threads(self.train_threads or len(os.sched_getaffinity(0))):
                train_supernet(self.space, self.config, self.checkpoint, self.epochs, self.seed, self.amp,
                               self.num_workers, self.sampling, self.sandwich)
        if self.cache_features:
            with _threads(self.threads):    # as a worker: another number of threads gives other last bits
                self.setup()
                self._batches('val', self.images)
            self.scorer = None

    # ---- once in each worker

    def setup(self) -> None:
        """Load the supernet, and the images or their features."""
        self.scorer = self._build_scorer()
        weights = CheckpointLoader.load_checkpoint(str(self.checkpoint), map_location='cpu', logger='silent')
        self.scorer.model.load_state_dict(weights.get('state_dict', weights), strict=True)
        self.evaluator = Evaluator(self.config.val_evaluator)
        self._loaded: dict[tuple, Iterable[dict]] = {}
        self._images: dict[str, int] = {}       # of the set of a split that was loaded last
        self._batches('train', self.recalibration_images)

    def _build_scorer(self) -> SupernetScorer:
        init_default_scope(self.config.get('default_scope', 'mmdet'))
        cfg = self.space.supernet(self.config.model)
        model = MODELS.build(cfg).to(get_device()).eval()
        if self.amp:
            keep_outputs_exact(model)
        neck = cfg.get('neck')
        first_level = neck.get('start_level', 0) if isinstance(neck, Mapping) else 0
        return SupernetScorer(model, self.amp, self.cache_megabytes, first_level)

    def _batches(self, split: str, images: Optional[int]) -> Iterable[dict]:
        """Return the batches of a split, as the scorer runs them."""
        if (split, images) not in self._loaded:
            loader = scoring_loader(self.config, split, images, self.batch_size)
            self.evaluator.dataset_meta = loader.dataset.metainfo
            with torch.inference_mode():
                if self.cache_features:
                    name = f'search-{split}-{len(loader.dataset)}'
                    batches = self.features.load(name, self._key(split, images), loader, self.scorer.extract)
                else:
                    batches = self.scorer.load(loader)
                    if batches is loader:       # read again for every candidate
                        batches = scoring_loader(self.config, split, images, self.batch_size, self.num_workers)
            self._loaded[split, images] = batches
            self._images[split] = len(loader.dataset)
        return self._loaded[split, images]

    def _key(self, split: str, images: Optional[int]) -> str:
        """Hash all that the maps of a set depend on, to the last bit."""
        model = self.config.model
        datasets = [innermost(self.config, name) for name in (split, 'val')]
        return digest(hash_tensors(self.scorer.model.backbone.state_dict()), self.scorer.first_level,
                      hash_part([model.backbone, model.get('data_preprocessor'), *datasets]), images, self.batch_size,
                      self.amp, self.threads, get_device(), torch.__version__)

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
        batches = self._batches('val', self.images if budget.images is None else budget.images)
        with self._on_path(genotype):
            metrics, images = self.scorer.score(batches, self.evaluator)
        if folder is not None:
            write_config(self.config, self.space.apply(genotype, self.config.model), Path(folder))
        return Evaluation(
            metrics={name: float(value) for name, value in metrics.items()},
            cost=dict(seconds=time.perf_counter() - started, images=images),
            fidelity=dict(epochs=self.epochs, images=images, recalibration_images=self._images['train'],
                          checkpoint=hash_file(self.checkpoint)[:16]))

    @contextmanager
    def _on_path(self, genotype: Genotype) -> Iterator[None]:
        """Set a path and recalibrate its batch norm statistics, under inference mode."""
        model = self.scorer.model
        calibration = self._batches('train', self.recalibration_images)
        set_path(model, self.space, genotype)
        with torch.inference_mode(), recalibrated(model, calibration, self.scorer.calibrate,
                                                  self.scorer.recalibrated_modules):
            yield

    def weights(self, genotype: Genotype, folder: Optional[Path], path: Path) -> bool:
        """Write the path's weights, with its batch norm statistics, as a plain network's checkpoint.

        Args:
            genotype: Of the space.
            folder: Not used: the supernet has the weights of every genotype.
            path: The file to write.

        Returns:
            Whether the supernet can give them: False where no network is a part of it, as in ENAS's.
        """
        if self.scorer is None:
            self.setup()
        if not all(hasattr(module, 'extract') for module in searched_modules(self.scorer.model).values()):
            return False
        network = MODELS.build(self.space.apply(genotype, self.config.model))
        with _threads(self.threads), self._on_path(genotype):
            network.load_state_dict(extracted_state(self.scorer.model, self.space, genotype), strict=True)
        save_weights(path, network.state_dict(), dataset_meta=shown_meta(self.evaluator.dataset_meta))
        return True

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
