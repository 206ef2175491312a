"""Reinforcement learning: an LSTM controller that learns which decisions pay, over any space.

Zoph, Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, arXiv:1611.01578 (REINFORCE,
section 3.2); Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image Recognition",
CVPR 2018, arXiv:1707.07012, appendix A (PPO); Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal Policy
Optimization Algorithms", arXiv:1707.06347, equation 7.
"""

from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from nasdet.protocol import Proposal, Result
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.searchers.controller import Controller, one_thread
from nasdet.searchers.tensors import from_text, to_text
from nasdet.spaces.base import Space

UPDATES = ('ppo', 'reinforce')


class Sample(NamedTuple):
    """A proposal with its result, waiting for the next update."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]    # of the policy that drew it, which may not be today's
    advantage: float


@SEARCHERS.register_module()
class ReinforceSearcher(Searcher):
    """Trains a controller on the rewards of its own proposals.

    A sample carries the log-probabilities that it was drawn with, so a result may come late and in any order.
    The defaults are for searches of under about 1,000 trials; the paper's scale is ``lr=3.5e-4, entropy=1e-5,
    minibatch=20``.

    Args:
        space: The space searched.
        update: ``'ppo'`` (clipped ratio of each decision) or ``'reinforce'`` (one step a batch; a sample of an older
            policy counts with its importance weight, at most 1).
        batch: Results that make an update.
        epochs: Passes over a batch (PPO).
        minibatch: Samples a gradient step (PPO), in an order that only depends on the number of the update.
        clip: PPO's epsilon.
        lr: Adam's learning rate.
        entropy: Weight of the entropy bonus, which is summed over an architecture's decisions.
        baseline: Decay of the moving average of rewards, which starts at the first reward.
        penalty: How far below the baseline the reward of a failed or refused trial lies, in the reward's unit; not
            below 0 where the baseline is not (a metric in 0..1). It does not move the baseline.
        hidden: Number of LSTM units.
        init: The controller's parameters start uniformly in [-init, init].
        seed: Of that start; in a search, the search's where the config does not say.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, space: Space, update: str = 'ppo', batch: int = 20, epochs: int = 4,
                 minibatch: int = 10, clip: float = 0.2, lr: float = 5e-3, entropy: float = 1e-3,
                 baseline: float = 0.95, penalty: float = 0.05, hidden: int = 100, init: float = 0.1, seed: int = 0):
        super().__init__(space)
        if update not in UPDATES:
            raise ValueError(f'update must be one of {UPDATES}, not {update!r}')
        if min(batch, epochs, minibatch) < 1:
            raise ValueError(f'batch, epochs and minibatch must be at least 1, not {batch}, {epochs}, {minibatch}')
        if not 0 <= baseline < 1 or clip <= 0:
            raise ValueError(f'baseline is a decay from 0 to below 1, and clip above 0, not {baseline} and {clip}')
        self.update = update
        self.batch = batch
        self.epochs = epochs
        self.minibatch = minibatch
        self.clip = clip
        self.entropy = entropy
        self.decay = baseline
        self.penalty = penalty
        self.controller = Controller(space.vocab, hidden, init, seed)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr)
        self.average: Optional[float] = None
        self.updates = 0
        self.waiting: list[Sample] = []

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return a draw of the controller as it is now."""
        with one_thread():
            tokens, log_probs = self.controller.sample(self.space, rng)
        return Proposal(self.space.decode(tokens), tokens, meta=dict(log_probs=list(log_probs)))

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Take a result; the controller learns when a batch is full."""
        if 'log_probs' not in proposal.meta:
            raise ValueError(f'trial {trial} has no log_probs in its meta: it was not proposed by a ReinforceSearcher')
        advantage = self._advantage(result)
        self.waiting.append(Sample(tuple(proposal.tokens), tuple(proposal.meta['log_probs']), advantage))
        if len(self.waiting) == self.batch:
            with one_thread():
                self._learn(self.waiting)
            self.waiting = []

    def state_dict(self) -> dict:
        """Return parameters and Adam's moments as base64 of their bytes, and the rest as plain numbers."""
        named = dict(self.controller.named_parameters())
        moments = {name: self.optimizer.state[parameter] for name, parameter in named.items()
                   if parameter in self.optimizer.state}
        return dict(
            parameters={name: to_text(parameter) for name, parameter in named.items()},
            adam={name: {key: to_text(value) for key, value in state.items()} for name, state in moments.items()},
            average=self.average, updates=self.updates, waiting=[list(sample) for sample in self.waiting])

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        named = dict(self.controller.named_parameters())
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(from_text(state['parameters'][name]).view_as(parameter))
        self.optimizer.state.clear()
        for name, texts in state['adam'].items():
            moments = {key: from_text(text) for key, text in texts.items()}
            self.optimizer.state[named[name]] = {key: value.squeeze() if key == 'step' else value.view_as(named[name])
                                                 for key, value in moments.items()}
        self.average = state['average']
        self.updates = state['updates']
        self.waiting = [Sample(tuple(tokens), tuple(log_probs), advantage)
                        for tokens, log_probs, advantage in state['waiting']]

    def loss(self, samples: list[Sample]) -> Tensor:
        """Return what an update minimises: the mean over samples of minus (objective + weighted entropy)."""
        log_probs, entropy = self.controller([list(self.space.walk(sample.tokens)) for sample in samples])
        old = torch.zeros_like(log_probs)
        for n, sample in enumerate(samples):
            old[n, :len(sample.log_probs)] = torch.tensor(sample.log_probs, dtype=old.dtype)
        advantage = torch.tensor([sample.advantage for sample in samples], dtype=log_probs.dtype)
        if self.update == 'ppo':
            ratio = (log_probs - old).exp()
            clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
            objective = torch.minimum(ratio * advantage[:, None], clipped * advantage[:, None]).sum(1)
        else:
            weight = (log_probs - old).sum(1).exp().clamp(max=1).detach()
            objective = weight * advantage * log_probs.sum(1)
        return -(objective + self.entropy * entropy.sum(1)).mean()

    def _learn(self, samples: list[Sample]) -> None:
        epochs, size = (self.epochs, self.minibatch) if self.update == 'ppo' else (1, len(samples))
        for epoch in range(epochs):
            order = np.random.default_rng((self.updates, epoch)).permutation(len(samples))
            for start in range(0, len(samples), size):
                self.optimizer.zero_grad()
                self.loss([samples[i] for i in order[start:start + size]]).backward()
                self.optimizer.step()
        self.updates += 1

    def _advantage(self, result: Result) -> float:
        """Return reward minus baseline, and move the baseline after it."""
        if result.status != 'ok':
            average = self.average or 0.0
            return -self.penalty if average < 0 else -min(self.penalty, average)
        before = result.reward if self.average is None else self.average
        self.average = self.decay * before + (1 - self.decay) * result.reward
        return result.reward - before
