"""ENAS's controllers: LSTMs that point at earlier states by attention.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv:1802.03268,
sections 2.2 to 2.4; what the paper leaves open is as in the authors' code.
"""

from abc import ABC, abstractmethod
from typing import Generator, Iterator, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nasdet.searchers.controller import draw
from nasdet.spaces.base import Choice, Space


class AttentionController(nn.Module, ABC):
    """What both controllers share; used as :class:`~nasdet.searchers.controller.Controller` is.

    A state that can be pointed at has an anchor, the LSTM's output h_j when the state was made. Its score for an output
    h is v^T tanh(W1 h_j + W2 h).

    Args:
        vocab: ``space.vocab``.
        hidden: Number of LSTM units, and the size of the embeddings.
        init: All parameters are drawn uniformly from [-init, init].
        seed: Of that draw.
        tanh: Of some kinds, a bound c: their logits are c tanh(logits / temperature).
        temperature: See ``tanh``.

    Raises:
        ValueError: The space has other kinds of decisions than this controller takes, or ``tanh`` has.
    """

    kinds: frozenset = frozenset()

    def __init__(self, vocab: Mapping[str, tuple], hidden: int = 64, init: float = 0.1, seed: int = 0,
                 tanh: Optional[Mapping[str, float]] = None, temperature: float = 1.0):
        super().__init__()
        if set(vocab) != self.kinds or not set(tanh or {}) <= self.kinds:
            raise ValueError(f'{type(self).__name__} takes decisions of the kinds {", ".join(sorted(self.kinds))}, but '
                             f'this space has {", ".join(vocab)}, and tanh {", ".join(tanh or ()) or "none"}')
        self.tanh, self.temperature = dict(tanh or {}), temperature
        self.first = dict(op=0)     # rows of the head by kind
        self.start = nn.Parameter(torch.empty(1, hidden))
        self.embedding = nn.Embedding(len(vocab['op']), hidden)
        self.lstm = nn.LSTMCell(hidden, hidden, bias=False)
        self.head = nn.Linear(hidden, len(vocab['op']))
        self.key, self.query = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-init, init, generator=generator)

    @abstractmethod
    def decisions(self) -> Generator[Tensor, int, None]:
        """Yield the logits (words,) of each decision in the space's order, and take its token."""

    @torch.no_grad()
    def sample(self, space: Space, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Draw an architecture.

        Args:
            space: The space whose decisions are taken.
            rng: The source of chance; one number a decision.

        Returns:
            The tokens, and the log-probability of each.
        """
        return self._take(space, lambda logits: draw(logits, rng))

    @torch.no_grad()
    def greedy(self, space: Space) -> tuple[int, ...]:
        """Return the tokens of the architecture that takes the likeliest one at each decision, of equals the first."""
        return self._take(space, lambda logits: (int(logits.argmax()), 0.0))[0]

    def _take(self, space: Space, decide) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Walk through a space; ``decide`` gives position and log-probability for the logits of a decision."""
        decisions, token = self.decisions(), None
        tokens: tuple[int, ...] = ()
        log_probs: tuple[float, ...] = ()
        while (choice := space.choices(tokens)) is not None:
            position, log_prob = decide(decisions.send(token)[list(choice.legal)])
            token = choice.legal[position]
            tokens += (token,)
            log_probs += (log_prob,)
        return tokens, log_probs

    def forward(self, sequences: Sequence[Sequence[tuple[Choice, int]]]) -> tuple[Tensor, Tensor]:
        """Score given architectures.

        Args:
            sequences: N architectures as ``space.walk`` yields them; T is the longest.

        Returns:
            The log-probability of each token and the entropy of each decision, both of shape (N, T) in nats.
        """
        scored = [tuple(zip(*self._score(sequence), strict=True)) for sequence in sequences]
        return (pad_sequence([torch.stack(log_probs) for log_probs, _ in scored], batch_first=True),
                pad_sequence([torch.stack(entropies) for _, entropies in scored], batch_first=True))

    def _score(self, sequence: Sequence[tuple[Choice, int]]) -> Iterator[tuple[Tensor, Tensor]]:
        decisions, last = self.decisions(), None
        for choice, token in sequence:
            log_p = decisions.send(last)[list(choice.legal)].log_softmax(dim=0)
            yield log_p[choice.legal.index(token)], -(log_p.exp() * log_p).sum()
            last = token

    def _embed(self, token: int) -> Tensor:
        return self.embedding.weight[token:token + 1]

    def _scores(self, keys: Sequence[Tensor], hidden: Tensor) -> Tensor:
        """Return the scores (n,) of n states, whose keys are W1 h_j, for an output (1, hidden)."""
        return self.score(torch.tanh(torch.cat(list(keys)) + self.query(hidden)))[:, 0]

    def _bounded(self, kind: str, logits: Tensor) -> Tensor:
        return self.tanh[kind] * torch.tanh(logits / self.temperature) if kind in self.tanh else logits


class MicroController(AttentionController):
    """Of spaces of cells: for each block, two states by attention, two operations, and a step for its own anchor.

    The second cell goes on from the LSTM's state after the first.
    """

    kinds = frozenset(('state', 'op'))

    def __init__(self, vocab: Mapping[str, tuple], *args, **kwargs):
        super().__init__(vocab, *args, **kwargs)
        self.num_blocks = len(vocab['state']) - 1       # the last block's output is read by none

    def decisions(self) -> Generator[Tensor, int, None]:
        """Yield the logits of state, state, operation, operation of each block, cell after cell without end."""
        state = None
        while True:
            anchors, keys = [], []
            for _ in range(2):      # the cell's inputs have keys, but nothing to say
                state = self.lstm(self.start, state)
                anchors.append(torch.zeros_like(state[0]))
                keys.append(self.key(state[0]))
            for _ in range(self.num_blocks):
                inputs = self.start
                for _ in range(2):
                    state = self.lstm(inputs, state)
                    inputs = anchors[(yield self._bounded('state', self._scores(keys, state[0])))]
                for _ in range(2):
                    state = self.lstm(inputs, state)
                    inputs = self._embed((yield self._bounded('op', self.head(state[0])[0])))
                state = self.lstm(inputs, state)
                anchors.append(state[0])
                keys.append(self.key(state[0]))


class MacroController(AttentionController):
    """Of ENASMacroSpace: for each layer an operation, then yes or no for all earlier ones from one step."""

    kinds = frozenset(('op', 'skip'))

    def decisions(self) -> Generator[Tensor, int, None]:
        """Yield the logits of a layer's operation, and of no and yes for each earlier one, layer after layer."""
        state, inputs = None, self.start
        anchors, keys = [], []
        while True:
            state = self.lstm(inputs, state)
            token = yield self._bounded('op', self.head(state[0])[0])
            state = self.lstm(self._embed(token), state)
            chosen = [torch.zeros_like(self.start)]
            # As in the authors' code, the stem is judged by the anchor of layer 1, and layer j by that of layer j + 1.
            for anchor, score in zip(anchors, self._scores(keys, state[0]) if keys else (), strict=True):
                if (yield self._bounded('skip', torch.stack([-score, score]))):
                    chosen.append(anchor)
            inputs = sum(chosen) / len(chosen) if anchors else self.start
            anchors.append(state[0])
            keys.append(self.key(state[0]))
