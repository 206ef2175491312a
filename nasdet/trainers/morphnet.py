"""MorphNet: shrink a network while it trains, expand what is left to the budget, and again.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, algorithm 1.
"""

import json
import logging
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, set_random_seed
from torch import nn

from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.protocol import CostGoal, Evaluation
from nasdet.registry import TRAINERS
from nasdet.spaces.base import Space
from nasdet.trainers.base import Record, Trainer
from nasdet.trainers.morphnet_config import structure_learning
from nasdet.trainers.morphnet_goals import result_goal, round_goal, shortfall
from nasdet.trainers.morphnet_weights import hand_on, write_calibrated
from nasdet.training import (
    AtomicBackend,
    MorphNetHook,
    ProgressHook,
    TrainingRunner,
    build_runner,
    save_weights,
    trained_state,
)
from nasdet.training.runner import source_epochs
from nasdet.training.subset import image_count

logger = logging.getLogger(__name__)
FOLDER, RESULT, WEIGHTS = 'training', 'result.json', 'weights.pth'


@TRAINERS.register_module()
class MorphNetTrainer(Trainer):
    """Learns the widths of a network's layers: in each round one training with a penalty, then one factor for all.

    A round trains the network with a penalty on its alive channels (:class:`~nasdet.training.MorphNetHook`), counts
    what is alive, and multiplies all widths by the largest factor with which the network keeps to the budget. The next
    round starts from that network, with new weights. What the last round gives is the result, and is trained from
    scratch without the penalty.

    A step is an epoch, recorded with the widths that are alive after it and the score of the network on search-val.
    The last step is the result, with the score of the network that it was read from. A round that has reached its goal
    ends before its last epoch.

    The training differs from the config's: the learning rate stays what it is after the warm-up (the authors advise
    against a decay here), norm layers have no weight decay, and weights are not averaged (EMA).

    ``WORK_DIR/training/round-1/`` holds log and checkpoints, then ``weights.pth`` and ``result.json``.

    Args:
        space: A WidthSpace: with ``apply``, ``seed``, ``cost``, ``expanded`` and ``rounded``.
        config: The prepared config.
        work_dir: The search's folder.
        rounds: Times that the network is shrunk and expanded.
        epochs: Of a round's training, at most; None: ``train_cfg.max_epochs``.
        target: What is limited, as for :class:`~nasdet.models.channels.Resource`: ``'macs'``, ``'params'``,
            ``'activations'``, or a dict with the device of ``'latency'``.
        goal: Share of its network's cost that a round shrinks to.
        budget: What the result may cost, as a share of what the space's network costs.
        strength: Of the penalty in a round's first epoch (a penalty of 1 / cost has strength 1).
        growth: Factor of the strength from epoch to epoch, until the goal is reached.
        patience: A round ends when the goal is reached and no width has changed in this many epochs: until then the
            penalty shrinks the network further. 0 ends it at the goal. None: after the last epoch.
        gamma_threshold: A channel whose batch norm has a smaller abs(gamma) is dead.
        lasso_threshold: A channel without batch norm is when the root mean square of its weights is smaller, as a share
            of the mean of its group at the start.
        optimizer: Of these trainings, such as ``dict(type='SGD', lr=0.01, momentum=0.9)``; None: the config's. Adam
            is no choice: it gives a dear channel the same step as a cheap one.
        num_workers: Processes that load data; 0 loads in the same process.
        seed: In a search, the search's where the config does not say.
    """

    requires = ('apply', 'seed', 'cost', 'expanded', 'rounded')

    def __init__(self, space: Space, config: Config, work_dir: Path, rounds: int = 1, epochs: Optional[int] = None,
                 target: Union[str, Mapping] = 'macs', goal: float = 0.5, budget: float = 1.0, strength: float = 3.0,
                 growth: float = 1.3, patience: Optional[int] = 3, gamma_threshold: float = 0.01,
                 lasso_threshold: float = 0.1, optimizer: Optional[Mapping] = None, num_workers: int = 0,
                 seed: int = 0):
        super().__init__(space, config, work_dir)
        self.rounds, self.epochs = rounds, epochs or source_epochs(config)
        self.target, self.budget = target, budget
        self.shrinking = dict(target=target, goal=goal, strength=strength, growth=growth, patience=patience,
                              gamma_threshold=gamma_threshold, lasso_threshold=lasso_threshold)
        self.optimizer, self.num_workers, self.seed = optimizer, num_workers, seed

    @property
    def steps(self) -> int:
        """Epochs, as many as were trained or else are planned, and the result."""
        return sum(self._epochs(number) for number in range(self.rounds)) + 1

    @property
    def images(self) -> int:
        """Training images of these epochs."""
        return (self.steps - 1) * image_count(self.config, 'train')

    def check(self) -> None:
        """Refuse numbers that make no search, and a budget that no network of the space keeps to.

        Raises:
            ValueError: One of these.
        """
        for name, value in dict(rounds=self.rounds, epochs=self.epochs).items():
            if value < 1:
                raise ValueError(f'MorphNetTrainer: {name} is at least 1, not {value}')
        if not 0 < self.shrinking['goal'] < 1:
            raise ValueError(f'MorphNetTrainer: goal is the share of its cost that a network shrinks to, between 0 and '
                             f'1, not {self.shrinking["goal"]}')
        self._expanded(self.space.seed())

    def weights(self, genotype: Genotype, path: Path) -> bool:
        """Write what the last round's network hands on: the weights of the most important channels.

        Channels beyond those of the trained network are new, drawn with the search's seed, and not read yet. What a
        removed channel contributed, a constant, is folded into the layers that read it
        (:func:`~nasdet.models.channels.fold_channels`); batch norms have the statistics of 200 training images. A start
        for fine-tuning.

        Args:
            genotype: The result.
            path: The file to write.

        Returns:
            True.
        """
        source = self._build(self._seeds()[-2])
        trained = CheckpointLoader.load_checkpoint(str(self._folder(self.rounds - 1) / WEIGHTS), map_location='cpu',
                                                   logger='silent')
        source.load_state_dict(trained['state_dict'], strict=True)
        set_random_seed(self.seed)      # before channels are made that have no weights to inherit
        target = self._build(genotype)
        hand_on(source, target, self.space.input_shape)
        write_calibrated(target, self.config, path)
        return True

    def cost_goals(self, genotypes: Sequence[Genotype]) -> list[CostGoal]:
        """Return what each round that has begun shrinks its network to, and what the result may cost."""
        goals, seeds, first = [], self._seeds(), 0
        for number, seed in enumerate(seeds[:self.rounds]):
            epochs = genotypes[first:first + self._epochs(number)]
            goals.append(round_goal(self.space, number, seed, epochs, self._result(number), self.shrinking))
            first += self._epochs(number)
        found = seeds[self.rounds] if len(seeds) > self.rounds else None
        return [*goals, result_goal(self.space, found, self.budget, self.target)]

    def _build(self, genotype: Genotype) -> nn.Module:
        init_default_scope(self.config.get('default_scope', 'mmdet'))
        return MODELS.build(self.space.apply(genotype, self.config.model))

    def _seeds(self) -> list[Genotype]:
        """Return what each round that has ended started from, and what the last of them was expanded to."""
        seeds = [self.space.seed()]
        for number in range(self.rounds):
            result = self._result(number)
            if result is not None:
                # As counted: a width that is rounded before it is multiplied is wrong by as many times.
                seeds.append(self._expanded(Genotype(self.space.name, dict(widths=result['widths']))))
        return seeds

    def run(self, record: Record) -> None:
        """Train the rounds, each from its newest checkpoint, and offer what the last one gives.

        Raises:
            SearchError: The loss became no number, or no channel can die.
        """
        first = 0
        for number in range(self.rounds):
            if self._result(number) is None:
                self._train(number, self._seeds()[-1], first, record)
            first += self._epochs(number)
        evaluation = Evaluation(**self._result(self.rounds - 1)['evaluation'])
        record(first, self._seeds()[-1], evaluation, candidate=True)

    def _train(self, number: int, genotype: Genotype, first: int, record: Record) -> None:
        folder = self._folder(number)
        shrink = MorphNetHook(self.space.input_shape, groups=tuple(self.space.groups), **self.shrinking)
        progress = ProgressHook(f'MorphNet, round {number + 1}')
        config, left_out = structure_learning(self.config, self.optimizer)
        if left_out:
            logger.info('MorphNet: while a network shrinks its learning rate is constant and its weights are not '
                        'averaged, so this training goes without %s', ', '.join(left_out))
        model = self.space.apply(genotype, self.config.model)
        runner = build_runner(config, model, folder, self.epochs, self.seed + number, checkpoints=True,
                              num_workers=self.num_workers,
                              hooks=[shrink, WidthRecordHook(self.space, shrink, record, number, first), progress])
        try:
            runner.train()
            evaluation = _evaluate(runner, shrink, number)
        except (FloatingPointError, ValueError) as error:
            raise SearchError(f'the training in {folder} failed: {error}') from error
        finally:
            progress.close()
            runner.close()
        missed = shortfall(number, shrink.widths, genotype, shrink.share, shrink.goal, shrink.strength)
        if missed:
            logger.warning('%s', missed)
        save_weights(folder / WEIGHTS, trained_state(runner), epoch=runner.epoch)
        result = dict(epochs=runner.epoch, widths=shrink.widths, evaluation=vars(evaluation))
        AtomicBackend().put(json.dumps(result).encode(), folder / RESULT)
        for leftover in (*folder.glob('epoch_*.pth*'), folder / 'last_checkpoint'):
            leftover.unlink()

    def _expanded(self, genotype: Genotype) -> Genotype:
        whole = self.space.cost(self.space.seed(), self.target)
        return self.space.expanded(genotype, self.budget * whole, self.target)

    def _folder(self, number: int) -> Path:
        return self.work_dir / FOLDER / f'round-{number + 1}'

    def _result(self, number: int) -> Optional[dict]:
        """Return what a round gave, or None while it has not ended."""
        path = self._folder(number) / RESULT
        return json.loads(path.read_text()) if path.exists() else None

    def _epochs(self, number: int) -> int:
        result = self._result(number)
        return self.epochs if result is None else result['epochs']


class WidthRecordHook(Hook):
    """Records each epoch of a round with the widths that are alive.

    Args:
        space: Makes a genotype of widths.
        shrink: Knows them.
        record: Takes the step.
        number: Of the round, from 0.
        first: Number of the round's first step.
    """

    priority = 'LOW'        # after the widths are counted, before the checkpoint is written

    def __init__(self, space: Space, shrink: MorphNetHook, record: Record, number: int, first: int):
        self.space, self.shrink, self.record, self.number, self.first = space, shrink, record, number, first

    def after_train_epoch(self, runner) -> None:
        """Evaluate the network, and record the epoch."""
        evaluation = _evaluate(runner, self.shrink, self.number)
        evaluation.fidelity['epochs'] = runner.epoch + 1
        self.record(self.first + runner.epoch, self.space.rounded(self.shrink.widths), evaluation)


def _evaluate(runner: TrainingRunner, shrink: MorphNetHook, number: int) -> Evaluation:
    """Return the metrics of the network as it is, dead channels included, on search-val."""
    started = time.perf_counter()
    metrics = {name: float(value) for name, value in runner.val_loop.run().items()}
    runner.model.train()
    images = len(runner.val_dataloader.dataset)
    return Evaluation(metrics, dict(seconds=time.perf_counter() - started, images=images),
                      dict(round=number + 1, epochs=runner.epoch, alive=round(shrink.share, 4),
                           strength=round(shrink.strength, 4)))
