"""The policy of ENAS: a controller that learns by REINFORCE while the weights that it is rewarded for are trained.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
section 2.2; numbers as in the authors' code.
"""

from typing import Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from nasdet.genotype import Genotype
from nasdet.searchers.controller import Controller, one_thread
from nasdet.spaces.base import Space
from nasdet.trainers.enas_controller import MacroController, MicroController
from nasdet.training.enas import Scored

CONTROLLERS = {None: Controller, 'micro': MicroController, 'macro': MacroController}


class Policy:
    """Draws architectures and learns which decisions pay.

    Args:
        space: Whose decisions are taken.
        attention: Which of ENAS's controllers takes them: ``'micro'`` or ``'macro'``; None: the LSTM of all other
            searches here, for any space, in which a state is a word and not an anchor that attention points at.
        hidden: Number of LSTM units.
        init: The controller's parameters start uniformly in [-init, init].
        lr: Adam's learning rate; its first moment has no memory (beta1 = 0), as in the authors' code.
        tanh: Bounds of the logits of some kinds of decisions (:class:`~nasdet.searchers.controller.Controller`).
        temperature: Of these bounds; the paper has 5, the authors' code none.
        bias: What some logits begin with: for a kind the value of some of its words. The authors' micro search begins
            with ``dict(op=dict(sep3=10, sep5=10))``, which favours these.
        entropy: Weight of an architecture's entropy (nats, summed over its decisions) in its reward.
        baseline: Decay of the moving average of rewards, which starts at 0 and is moved before it is subtracted.
        prior: For kinds of two words, the probability of the second that the controller is held near, such as
            ``dict(skip=0.4)``.
        prior_weight: Of the divergence from it, which is summed over an architecture's decisions. The authors' macro
            search has 0.8 times the mean over the 11 layers, of 12, that can skip.
        seed: Of the controller's start.

    Raises:
        ValueError: A kind or word that the space does not have, or a number that is out of its range.
    """

    def __init__(self, space: Space, attention: Optional[str] = None, hidden: int = 64, init: float = 0.1,
                 lr: float = 3.5e-3, tanh: Optional[Mapping[str, float]] = None, temperature: float = 1.0,
                 bias: Optional[Mapping[str, Mapping]] = None, entropy: float = 1e-4, baseline: float = 0.99,
                 prior: Optional[Mapping[str, float]] = None, prior_weight: float = 0.8 / 11, seed: int = 0):
        if attention not in CONTROLLERS:
            raise ValueError(f'attention is one of {", ".join(map(repr, CONTROLLERS))}, not {attention!r}')
        if not 0 <= baseline < 1 or temperature <= 0:
            raise ValueError(f'baseline is a decay from 0 to below 1, and temperature above 0, not {baseline} and '
                             f'{temperature}')
        self.space = space
        self.controller = CONTROLLERS[attention](space.vocab, hidden, init, seed, tanh, temperature)
        self._begin_with(bias or {})
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr, betas=(0.0, 0.999), eps=1e-3)
        self.entropy, self.decay = entropy, baseline
        self.prior, self.prior_weight = dict(prior or {}), prior_weight
        self._check_prior()
        self.average = 0.0

    def _begin_with(self, bias: Mapping[str, Mapping]) -> None:
        for kind, words in bias.items():
            vocabulary = self.space.vocab.get(kind, ()) if kind in self.controller.first else ()
            for word, value in words.items():
                if word not in vocabulary:
                    raise ValueError(f'bias names {word!r} of the kind {kind!r}, for which the controller has no '
                                     f'bias; the kinds of this space are {self.space.vocab}')
                with torch.no_grad():
                    self.controller.head.bias[self.controller.first[kind] + vocabulary.index(word)] = value

    def _check_prior(self) -> None:
        for kind, probability in self.prior.items():
            if len(self.space.vocab.get(kind, ())) != 2 or not 0 < probability < 1:
                raise ValueError(f'prior is for kinds of two words, and a probability between 0 and 1, not {kind!r}: '
                                 f'{probability} with the words {self.space.vocab.get(kind)}')

    def sample(self, rng: np.random.Generator) -> tuple[Genotype, tuple[int, ...]]:
        """Draw an architecture.

        Args:
            rng: The source of chance.

        Returns:
            The genotype, and its tokens as drawn.
        """
        with one_thread():
            tokens, _ = self.controller.sample(self.space, rng)
        return self.space.decode(tokens), tokens

    def greedy(self) -> Genotype:
        """Return the architecture of the likeliest decisions."""
        with one_thread():
            return self.space.decode(self.controller.greedy(self.space))

    def learn(self, samples: Sequence[Scored]) -> dict[str, float]:
        """Make one gradient step.

        Args:
            samples: Draws of the policy as it is now.

        Returns:
            For a person: the means ``sampled_accuracy`` and ``entropy`` (nats), and the ``baseline``.
        """
        with one_thread():
            self.optimizer.zero_grad()
            loss, entropy = self.loss(samples)
            loss.backward()
            self.optimizer.step()
        accuracy = sum(sample.accuracy for sample in samples) / len(samples)
        return dict(sampled_accuracy=accuracy, entropy=float(entropy.mean()), baseline=self.average)

    def loss(self, samples: Sequence[Scored]) -> tuple[Tensor, Tensor]:
        """Move the baseline, and return what a step minimises.

        Args:
            samples: N draws.

        Returns:
            The mean of -log p (reward - baseline), with the weighted divergence from the prior; and each one's entropy
            (N,).
        """
        walks = [list(self.space.walk(sample.tokens)) for sample in samples]
        log_probs, entropies = self.controller(walks)
        entropy = entropies.detach().sum(1)
        advantages = []
        for sample, own in zip(samples, entropy.tolist(), strict=True):
            reward = sample.accuracy + self.entropy * own
            self.average -= (1 - self.decay) * (self.average - reward)
            advantages.append(reward - self.average)
        loss = -(log_probs.sum(1) * log_probs.new_tensor(advantages)).mean()
        if self.prior:
            loss = loss + self.prior_weight * self._divergence(walks, log_probs, entropies)
        return loss, entropy

    def _divergence(self, walks: Sequence, log_probs: Tensor, entropies: Tensor) -> Tensor:
        """Return KL(p || prior), summed over the decisions that have a prior; the mean over architectures."""
        prior = torch.full_like(log_probs, torch.nan)       # of the word that was taken
        for n, walk in enumerate(walks):
            for t, (choice, token) in enumerate(walk):
                if choice.kind in self.prior and not choice.forced:
                    prior[n, t] = self.prior[choice.kind] if token == 1 else 1 - self.prior[choice.kind]
        has_prior = ~prior.isnan()
        taken, prior = log_probs[has_prior].exp(), prior[has_prior]
        divergence = -entropies[has_prior] - taken * prior.log() - (1 - taken) * (1 - prior).log()
        return divergence.sum() / len(walks)

    def state_dict(self) -> dict:
        """Return controller, optimiser and baseline."""
        return dict(controller=self.controller.state_dict(), optimizer=self.optimizer.state_dict(),
                    average=self.average)

    def load_state_dict(self, state: Mapping) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.controller.load_state_dict(state['controller'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.average = state['average']
