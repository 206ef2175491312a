"""The LSTM controller: a policy over the decisions of any space.

Zoph, Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, arXiv:1611.01578, section 3.1;
size and initialisation of Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition", CVPR 2018, arXiv:1707.07012, appendix A.
"""

from contextlib import contextmanager
from typing import Callable, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nasdet.spaces.base import Choice, Space


@contextmanager
def one_thread():
    """Run torch on one thread: a sum's rounding, and so every later proposal, must not depend on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Controller(nn.Module):
    """An LSTM that is fed the token just taken and gives the logits of the next decision.

    The vocabularies of all kinds lie behind each other in one embedding table and in one linear layer; a decision
    reads only the rows that are legal for it, so each kind has a softmax of its own.

    Args:
        vocab: ``space.vocab``.
        hidden: Number of LSTM units, and the size of the embeddings.
        init: All parameters are drawn uniformly from [-init, init].
        seed: Of that draw.
        tanh: Of some kinds, a bound c: their logits are c tanh(logits / temperature), so that no decision is ever quite
            made (Bello, Pham, Le, Norouzi, Bengio, arXiv:1611.09940).
        temperature: See ``tanh``.

    Raises:
        ValueError: ``tanh`` bounds a kind that the vocabulary does not have.
    """

    def __init__(self, vocab: dict[str, tuple], hidden: int = 100, init: float = 0.1, seed: int = 0,
                 tanh: Optional[Mapping[str, float]] = None, temperature: float = 1.0):
        super().__init__()
        unknown = sorted(set(tanh or {}) - set(vocab))
        if unknown:
            raise ValueError(f'tanh bounds decisions of the kind {unknown[0]!r}, but this space has the kinds '
                             f'{", ".join(vocab)}')
        self.tanh, self.temperature = dict(tanh or {}), temperature
        self.sizes = [len(tokens) for tokens in vocab.values()]
        self.first = dict(zip(vocab, [0, *np.cumsum(self.sizes)[:-1].tolist()], strict=True))
        self.start = sum(self.sizes)
        self.embedding = nn.Embedding(self.start + 1, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, self.start)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-init, init, generator=generator)

    @torch.no_grad()
    def sample(self, space: Space, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Draw an architecture.

        Args:
            space: The space whose decisions are taken.
            rng: The source of chance; one number an open decision.

        Returns:
            The tokens, and the log-probability of each; 0 where it was forced.
        """
        return self._take(space, lambda logits: draw(logits, rng))

    @torch.no_grad()
    def greedy(self, space: Space) -> tuple[int, ...]:
        """Return the tokens of the architecture that takes the likeliest one at each decision, of equals the first."""
        return self._take(space, lambda logits: (int(logits.argmax()), 0.0))[0]

    def _take(self, space: Space, decide: Callable) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Walk through a space; ``decide`` gives position and log-probability for the logits of an open decision."""
        tokens: tuple[int, ...] = ()
        log_probs: tuple[float, ...] = ()
        last = self.start
        state = 2 * (self.embedding.weight.new_zeros(1, self.lstm.hidden_size),)
        while (choice := space.choices(tokens)) is not None:
            state = torch.lstm_cell(self.embedding.weight[last:last + 1], state, *self.lstm.all_weights[0])
            position, log_prob = 0, 0.0
            if not choice.forced:
                position, log_prob = decide(self._logits(state[0])[0, self.rows(choice)])
            tokens += (choice.legal[position],)
            log_probs += (log_prob,)
            last = self.first[choice.kind] + choice.legal[position]
        return tokens, log_probs

    def forward(self, sequences: Sequence[Sequence[tuple[Choice, int]]]) -> tuple[Tensor, Tensor]:
        """Score given architectures, all steps at once.

        Args:
            sequences: N architectures as ``space.walk`` yields them, of any lengths; T is the longest.

        Returns:
            The log-probability of each token and the entropy of each decision, both of shape (N, T) in nats; both
            are 0 at forced decisions and behind an architecture's end.
        """
        inputs, targets, legal = self._pack(sequences)
        output, _ = self.lstm(self.embedding(inputs))
        log_p = torch.log_softmax(self._logits(output).masked_fill(~legal, -torch.inf), dim=-1)
        entropy = -(log_p.exp() * log_p.masked_fill(~legal, 0.0)).sum(-1)
        return log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the logits (..., V) of hidden states (..., hidden), bounded where a kind has a bound."""
        logits = self.head(hidden)
        if not self.tanh:
            return logits
        kinds = logits.split(self.sizes, dim=-1)
        return torch.cat([self.tanh[kind] * torch.tanh(part / self.temperature) if kind in self.tanh else part
                          for kind, part in zip(self.first, kinds, strict=True)], dim=-1)

    def rows(self, choice: Choice) -> list[int]:
        """Return the rows of the linear layer that give the logits of a decision's legal tokens."""
        return [self.first[choice.kind] + token for token in choice.legal]

    def _pack(self, sequences) -> tuple[Tensor, Tensor, Tensor]:
        """Return input tokens (N, T), taken tokens (N, T) and legal tokens (N, T, V)."""
        shape = len(sequences), max(len(sequence) for sequence in sequences)
        inputs = np.full(shape, self.start)
        targets = np.zeros(shape, np.int64)
        legal = np.zeros((*shape, self.start), bool)
        legal[..., 0] = True                        # behind the end: a forced decision, which counts for nothing
        for n, sequence in enumerate(sequences):
            for t, (choice, token) in enumerate(sequence):
                targets[n, t] = self.first[choice.kind] + token
                legal[n, t, 0] = False
                legal[n, t, self.rows(choice)] = True
        inputs[:, 1:] = targets[:, :-1]
        return torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(legal)


def draw(logits: Tensor, rng: np.random.Generator) -> tuple[int, float]:
    """Draw an index from a softmax with one number of ``rng``; return it with its log-probability."""
    log_p = torch.log_softmax(logits.double(), dim=0).numpy()
    index = int(np.searchsorted(np.cumsum(np.exp(log_p)), rng.random(), side='right'))
    index = min(index, len(log_p) - 1)      # the sum may round to a little less than 1
    return index, float(log_p[index])
