"""ENAS: weights that all architectures share, and a controller that learns from what they score, trained in turn.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268;
numbers, and what the paper leaves open, as in the authors' code.
"""

import copy
import json
import time
from functools import cached_property
from pathlib import Path
from typing import Mapping, Optional

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import DataLoader

from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.protocol import Evaluation
from nasdet.randomness import SEARCH, generator
from nasdet.registry import TRAINERS
from nasdet.spaces.base import Space
from nasdet.trainers.base import Record, Trainer
from nasdet.trainers.enas_policy import Policy
from nasdet.training import (
    AtomicBackend,
    build_runner,
    save_weights,
    set_path,
    set_workers,
    train_shown,
    trained_state,
)
from nasdet.training.recalibration import norm_layers
from nasdet.training.runner import source_epochs
from nasdet.training.subset import image_count

FOLDER, WEIGHTS, SCORES = 'training', 'weights.pth', 'scores.json'


@TRAINERS.register_module()
class ENASTrainer(Trainer):
    """Trains a space's shared network on paths that a controller draws, and the controller on what they score.

    A step is an epoch: a pass over search-train with another path in each iteration, then ``controller_steps`` of the
    controller, with the top-1 accuracy of ``samples`` paths on one batch of search-val each as rewards, so that
    ``'accuracy/top1'`` is the only objective. It is recorded with the genotype of the controller's likeliest decisions
    and its score on all of search-val. (The authors' code prints ten draws there with the accuracy of one batch each,
    and their names are picked by hand.)

    Then ``candidates`` genotypes are drawn from the trained controller and scored on all of search-val with the shared
    weights and the statistics of its batches, which have the size of a training batch, but for the last one. The best
    is the result. Its own network has no weights from the search: its graph is another one, and it is trained from
    scratch.

    ``WORK_DIR/training/`` holds log, checkpoints and, once trained, ``weights.pth`` with the shared weights and the
    controller, and ``scores.json``.

    Args:
        space: With ``supernet``.
        config: The prepared config, of an ImageClassifier.
        work_dir: The search's folder.
        epochs: Of the training; None: ``train_cfg.max_epochs``. The schedule is scaled to them.
        controller_steps: Gradient steps of the controller in an epoch.
        samples: Genotypes scored for each of these.
        controller: Arguments of :class:`~nasdet.trainers.enas_policy.Policy`.
        candidates: Genotypes scored at the end.
        num_workers: Processes that load data for the training; 0 loads in the same process.
        seed: In a search, the search's where the config does not say.
    """

    requires = ('apply', 'supernet')
    rewarded_by = 'accuracy/top1'

    def __init__(self, space: Space, config: Config, work_dir: Path, epochs: Optional[int] = None,
                 controller_steps: int = 30, samples: int = 10, controller: Optional[Mapping] = None,
                 candidates: int = 100, num_workers: int = 0, seed: int = 0):
        super().__init__(space, config, work_dir)
        self.epochs = epochs or source_epochs(config)
        self.controller_steps, self.samples, self.candidates = controller_steps, samples, candidates
        self.num_workers, self.seed = num_workers, seed
        self.policy = Policy(space, **{'seed': seed, **(controller or {})})
        self.folder = self.work_dir / FOLDER

    @property
    def steps(self) -> int:
        """Epochs and candidates."""
        return self.epochs + self.candidates

    @property
    def images(self) -> int:
        """Images that the shared weights are trained on."""
        return self.epochs * image_count(self.config, 'train')

    def check(self) -> None:
        """Refuse numbers below one, another task than classification, and a network that cannot be scored.

        Raises:
            ValueError: One of these.
        """
        for name in ('epochs', 'controller_steps', 'samples', 'candidates'):
            if getattr(self, name) < 1:
                raise ValueError(f'ENASTrainer: {name} is at least 1, not {getattr(self, name)}')
        supernet = self.space.supernet(self.config.model)       # a space refuses here what it cannot share
        if supernet.type != 'ImageClassifier':
            raise ValueError(f"ENASTrainer's rewards are accuracies, of an ImageClassifier, not of a {supernet.type}: "
                             f'search a classifier, and use what was found as a backbone')
        if norm_layers([build_on_meta(supernet)]):
            raise ValueError(f'ENASTrainer scores with the statistics of the batch, but the shared network of '
                             f'{self.space.name} keeps running ones, a mixture over all paths: take a '
                             f'SupernetEstimator, which measures them anew for each path')
        batch, images = self.config.train_dataloader.batch_size, image_count(self.config, 'val')
        if images < batch:
            raise ValueError(f'search-val has {images} images, fewer than a batch of {batch}, which a reward is '
                             f'measured on: take a smaller batch_size in train_dataloader, or more images')
        if images % batch == 1:
            raise ValueError(f'the last of the batches that {images} images of search-val are scored in would hold one '
                             f'image, which has no statistics: take another batch_size than {batch}')

    def run(self, record: Record) -> None:
        """Train, then score candidates."""
        init_default_scope(self.config.get('default_scope', 'mmdet'))
        if not (self.folder / WEIGHTS).exists():
            self._train(record)
        trained = CheckpointLoader.load_checkpoint(str(self.folder / WEIGHTS), map_location='cpu', logger='silent')
        self.policy.load_state_dict(trained['meta']['policy'])
        model = MODELS.build(self.space.supernet(self.config.model))
        model.load_state_dict(trained['state_dict'], strict=True)
        self._score_candidates(model.to(get_device()), record)

    def _train(self, record: Record) -> None:
        rewards = self._search_val(drop_last=True)
        loop = dict(type='ENASTrainLoop', space=self.space, policy=self.policy, rewards=rewards,
                    updates=self.controller_steps, samples=self.samples, seed=self.seed)
        runner = build_runner(self.config, self.space.supernet(self.config.model), self.folder, self.epochs, self.seed,
                              checkpoints=True, num_workers=self.num_workers, loop=loop,
                              hooks=[ENASRecordHook(self, record)])
        train_shown(runner, 'ENAS training')
        save_weights(self.folder / WEIGHTS, trained_state(runner), epoch=runner.epoch,
                     policy=runner.train_loop.policy.state_dict())
        for leftover in (*self.folder.glob('epoch_*.pth*'), self.folder / 'last_checkpoint'):
            leftover.unlink()

    def _score_candidates(self, model, record: Record) -> None:
        """Score draws of the trained controller; those that were scored before a kill are read again."""
        path = self.folder / SCORES
        scores = json.loads(path.read_text()) if path.exists() else []
        drawn_before = self.epochs * self.controller_steps * self.samples
        for number in range(self.candidates):
            genotype, _ = self.policy.sample(generator(self.seed, drawn_before + number, SEARCH))
            if number == len(scores):
                evaluation = self.score(model, genotype)
                scores.append(dict(metrics=evaluation.metrics, cost=evaluation.cost, fidelity=evaluation.fidelity))
                AtomicBackend().put(json.dumps(scores).encode(), path)
            record(self.epochs + number, genotype, Evaluation(**scores[number]), candidate=True)

    @torch.no_grad()
    def score(self, model, genotype: Genotype) -> Evaluation:
        """Score a genotype on all of search-val with shared weights and the statistics of each batch.

        Args:
            model: The shared network; left in evaluation mode.
            genotype: Of the space.
        """
        started = time.perf_counter()
        loader, images = self._scoring_loader, len(self._scoring_loader.dataset)
        evaluator = Evaluator(self.config.val_evaluator)
        evaluator.dataset_meta = loader.dataset.metainfo
        model.eval()
        set_path(model, self.space, genotype)
        for batch in loader:
            evaluator.process(data_samples=model.val_step(batch), data_batch=batch)
        metrics = {name: float(value) for name, value in evaluator.evaluate(images).items()}
        return Evaluation(metrics, dict(seconds=time.perf_counter() - started, images=images), dict(images=images))

    @cached_property
    def _scoring_loader(self) -> DataLoader:
        """All of search-val, in the same batches for every genotype."""
        return Runner.build_dataloader(self._search_val(drop_last=False))

    def _search_val(self, drop_last: bool) -> ConfigDict:
        """Return the loader of search-val in mixed order, read as it is for a score, in batches as in training."""
        loader = copy.deepcopy(self.config.val_dataloader)
        loader.update(batch_size=self.config.train_dataloader.batch_size, drop_last=drop_last,
                      sampler=dict(type='DefaultSampler', shuffle=True, seed=self.seed))
        set_workers(loader, 0)
        return loader


class ENASRecordHook(Hook):
    """Records each epoch with the genotype that the controller finds likeliest.

    Args:
        trainer: Scores it.
        record: Takes the step.
    """

    def __init__(self, trainer: ENASTrainer, record: Record):
        self.trainer, self.record = trainer, record

    def after_train_epoch(self, runner) -> None:
        """Record the epoch, before its checkpoint is written."""
        loop = runner.train_loop
        genotype = loop.policy.greedy()
        evaluation = self.trainer.score(runner.model, genotype)
        evaluation.fidelity.update(epochs=runner.epoch + 1, **loop.figures)
        self.record(runner.epoch, genotype, evaluation)
