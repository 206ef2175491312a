"""ENAS: an epoch trains the shared weights on architectures that a policy draws, and then the policy.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.2.
"""

from itertools import count
from typing import Any, Iterator, Mapping, NamedTuple, Optional

import torch
from mmengine.hooks import Hook
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop

from nasdet.genotype import Genotype
from nasdet.randomness import PATHS, SEARCH, generator
from nasdet.training.paths import set_path


class Scored(NamedTuple):
    """An architecture and what it scored.

    Args:
        tokens: Its decisions as they were drawn.
        accuracy: In [0, 1].
    """

    tokens: tuple[int, ...]
    accuracy: float


@LOOPS.register_module()
class ENASTrainLoop(EpochBasedTrainLoop):
    """Trains shared weights on search-train and, after each pass over it, the policy on rewards from search-val.

    Every iteration trains another architecture, drawn from the policy. The policy's reward for one is its accuracy on
    one batch of search-val with the weights as they are. What is drawn follows from the seed and the policy, which
    every checkpoint holds, so that a resumed training is the same as one that was never stopped.

    Args:
        runner: mmengine's, with an ImageClassifier.
        dataloader: As of mmengine's EpochBasedTrainLoop.
        max_epochs: Epochs to train.
        space: Says which part of a genotype each searched module takes.
        policy: Draws genotypes (``sample(rng)``) and learns from :class:`Scored` ones (``learn(samples)``).
        rewards: Config of the loader of search-val's batches, with a shuffling sampler.
        updates: Steps of the policy in an epoch.
        samples: Architectures scored for a step.
        seed: Of what is drawn; None takes the Runner's.
        **kwargs: Further arguments of mmengine's EpochBasedTrainLoop.
    """

    def __init__(self, runner, dataloader, max_epochs: int, space, policy, rewards: Mapping, updates: int = 30,
                 samples: int = 10, seed: Optional[int] = None, **kwargs):
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self.space, self.policy = space, policy
        self.rewards = runner.build_dataloader(rewards)
        self.updates, self.samples = updates, samples
        self.seed = runner.seed if seed is None else seed
        self.figures: dict[str, float] = {}     # of the policy in the last epoch, for a person
        runner.register_hook(PolicyCheckpointHook(policy))

    def run_epoch(self) -> None:
        """Train the weights, then the policy; hooks see the epoch's end after both."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        self.train_policy()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Train an architecture on a batch."""
        genotype, _ = self.policy.sample(generator(self.seed, self.iter, PATHS))
        set_path(self.runner.model, self.space, genotype)
        super().run_iter(idx, data_batch)

    @torch.no_grad()
    def rewarded(self, genotype: Genotype, batch: Mapping) -> float:
        """Return the share of a batch's images that an architecture classifies rightly."""
        set_path(self.runner.model, self.space, genotype)
        predictions = self.runner.model.val_step(batch)
        labels = torch.cat([prediction.label for prediction in predictions])
        return float((labels.cpu() == batch['data_samples'].view(-1)).double().mean())

    def train_policy(self) -> None:
        """Make the epoch's steps of the policy; the weights stay as they are."""
        self.runner.model.eval()
        batches = self._batches()
        shown = []
        for update in range(self.updates):
            first = (self.epoch * self.updates + update) * self.samples
            scored = []
            for number in range(first, first + self.samples):
                genotype, tokens = self.policy.sample(generator(self.seed, number, SEARCH))
                scored.append(Scored(tokens, self.rewarded(genotype, next(batches))))
            shown.append(self.policy.learn(scored))
        self.figures = {name: sum(each[name] for each in shown) / len(shown) for name in (shown or [{}])[0]}

    def _batches(self) -> Iterator[Mapping]:
        """Yield batches of search-val without end, in an order that follows from the epoch."""
        for pass_number in count():
            self.rewards.sampler.set_epoch(self.epoch + pass_number * self.max_epochs)
            yield from self.rewards


class PolicyCheckpointHook(Hook):
    """Keeps a policy in the checkpoints of the training that it belongs to.

    Args:
        policy: With ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, policy):
        self.policy = policy

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the policy."""
        checkpoint['policy'] = self.policy.state_dict()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the policy."""
        self.policy.load_state_dict(checkpoint['policy'])
