"""Surrogates: small networks that predict the reward of an architecture from its decisions.

Liu, Zoph, Neumann, Shlens, Hua, Li, Fei-Fei, Yuille, Huang, Murphy: Progressive Neural Architecture Search. ECCV 2018,
arXiv:1712.00559, section 4.2.
"""

from typing import NamedTuple, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdet.genotype import Genotype
from nasdet.searchers.controller import one_thread
from nasdet.searchers.tensors import from_text, to_text
from nasdet.spaces.base import Space


class Sentences(NamedTuple):
    """Architectures as a surrogate reads them.

    Args:
        tokens: Rows of the embedding table, (N, blocks, decisions of a block); what is behind an architecture's last
            block counts for nothing.
        blocks: Number of blocks of each, (N,).
    """

    tokens: Tensor
    blocks: Tensor


class Reader:
    """Turns genotypes into sentences: the decisions of each block, in order.

    Decisions whose names share what stands before the last dot make a block (``'normal.block0.op1'``); one without a
    dot (``'blocks'``) is no part of any.

    Args:
        space: Whose genotypes are read.
    """

    def __init__(self, space: Space):
        self.space = space
        sizes = [len(words) for words in space.vocab.values()]
        self.first = dict(zip(space.vocab, [0, *np.cumsum(sizes)[:-1].tolist()], strict=True))
        self.words = sum(sizes)

    def __call__(self, genotypes: Sequence[Genotype]) -> Sentences:
        """Return the sentences of at least one genotype; ValueError where blocks have different decisions."""
        read = [self.blocks(genotype) for genotype in genotypes]
        lengths = {len(block) for blocks in read for block in blocks}
        if len(lengths) != 1:
            raise ValueError(f'{self.space.name}: its blocks have {sorted(lengths)} decisions, and a surrogate reads '
                             f'blocks of equal length')
        tokens = np.zeros((len(read), max(map(len, read)), lengths.pop()), np.int64)
        for row, blocks in zip(tokens, read, strict=True):
            row[:len(blocks)] = blocks
        return Sentences(torch.from_numpy(tokens), torch.tensor([len(blocks) for blocks in read]))

    def blocks(self, genotype: Genotype) -> list[list[int]]:
        """Return the rows of the embedding table for each block of a genotype."""
        blocks: dict[str, list[int]] = {}
        for choice, token in self.space.walk(self.space.encode(genotype)):
            block, dot, _ = choice.name.rpartition('.')
            if dot:
                blocks.setdefault(block, []).append(self.first[choice.kind] + token)
        return list(blocks.values())


class MLPSurrogate(nn.Module):
    """The embeddings of a block's decisions behind each other, their mean over the blocks, two hidden layers.

    Args:
        words: Rows of the embedding table.
        decisions: Decisions of a block.
        hidden: Size of embeddings and hidden layers.
    """

    def __init__(self, words: int, decisions: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.layers = nn.Sequential(nn.Linear(decisions * hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
                                    nn.ReLU())
        self.head = nn.Linear(hidden, 1)

    def forward(self, sentences: Sentences) -> Tensor:
        """Return the predicted rewards (N,), in 0..1."""
        tokens, blocks = sentences
        embedded = self.embedding(tokens).flatten(2)
        inside = torch.arange(tokens.shape[1]) < blocks[:, None]
        mean = (embedded * inside[..., None]).sum(1) / blocks[:, None]
        return self.head(self.layers(mean)).squeeze(1).sigmoid()


class LSTMSurrogate(nn.Module):
    """An LSTM over all decisions, whose last state is the prediction.

    Args:
        words: Rows of the embedding table.
        decisions: Decisions of a block; not used.
        hidden: Size of embeddings and state.
    """

    def __init__(self, words: int, decisions: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, sentences: Sentences) -> Tensor:
        """Return the predicted rewards (N,), in 0..1."""
        tokens, blocks = sentences
        states, _ = self.lstm(self.embedding(tokens.flatten(1)))
        last = states[torch.arange(len(tokens)), blocks * tokens.shape[2] - 1]
        return self.head(last).squeeze(1).sigmoid()


SURROGATES = dict(mlp=MLPSurrogate, lstm=LSTMSurrogate)


class Ensemble:
    """Surrogates that differ in their start and in the share of the data that each does not see; their mean predicts.

    What they are is a function of the seed and of the data, on any machine of one kind: they run on one thread.

    Args:
        space: Whose genotypes are predicted.
        kind: ``'mlp'`` or ``'lstm'``.
        members: Number of surrogates, M; each is trained on (M - 1) / M of the data.
        hidden: Size of their embeddings and hidden layers.
        minibatch: Architectures a gradient step.
        init: Their parameters start uniformly in [-init, init]; the output's bias so that the mean reward of the first
            data is predicted (1.8 in the paper, where that is 0.86).
        seed: Of start and order.
    """

    def __init__(self, space: Space, kind: str = 'mlp', members: int = 5, hidden: int = 100, minibatch: int = 32,
                 init: float = 0.1, seed: int = 0):
        self.read = Reader(space)
        self.kind, self.members, self.hidden = kind, members, hidden
        self.minibatch, self.init, self.seed = minibatch, init, seed
        self.networks: list[nn.Module] = []
        self.decisions = 0      # of a block
        self.fits = 0

    def fit(self, genotypes: Sequence[Genotype], rewards: Sequence[float], lr: float, epochs: int,
            anew: bool = False) -> None:
        """Train every surrogate by Adam on its share of the data, to the least absolute error.

        Args:
            genotypes: The data, at least one.
            rewards: Of each, in 0..1.
            lr: Learning rate.
            epochs: Passes over the data.
            anew: Whether to begin from a new start; else what earlier data have taught is kept.
        """
        sentences, targets = self.read(genotypes), torch.tensor(rewards, dtype=torch.float32)
        with one_thread():
            if anew or not self.networks:
                self.decisions = sentences.tokens.shape[2]
                self._start(float(targets.mean()))
            for member, network in enumerate(self.networks):
                share = [i for i in range(len(targets)) if i % self.members != member] or list(range(len(targets)))
                optimizer = torch.optim.Adam(network.parameters(), lr=lr)
                for epoch in range(epochs):
                    order = np.random.default_rng((self.seed, self.fits, member, epoch)).permutation(share)
                    for batch in torch.from_numpy(order).split(self.minibatch):
                        optimizer.zero_grad()
                        predicted = network(Sentences(*(part[batch] for part in sentences)))
                        F.l1_loss(predicted, targets[batch]).backward()
                        optimizer.step()
        self.fits += 1

    def _start(self, mean: float) -> None:
        """Make new surrogates that predict a mean reward."""
        self.networks = [self._network() for _ in range(self.members)]
        for member, network in enumerate(self.networks):
            generator = torch.Generator().manual_seed(self.seed * self.members + member)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.uniform_(-self.init, self.init, generator=generator)
                network.head.bias.fill_(float(torch.logit(torch.tensor(mean), eps=0.01)))

    def _network(self) -> nn.Module:
        return SURROGATES[self.kind](self.read.words, self.decisions, self.hidden)

    @torch.no_grad()
    def predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return the mean prediction for each genotype, (N,); the ensemble has been fitted before."""
        sentences = self.read(genotypes)
        with one_thread():
            return torch.stack([network(sentences) for network in self.networks]).mean(0).double().numpy()

    def state_dict(self) -> dict:
        """Return the parameters as text, and their shapes."""
        return dict(fits=self.fits, decisions=self.decisions, members=[
            {name: dict(shape=list(parameter.shape), values=to_text(parameter))
             for name, parameter in network.named_parameters()} for network in self.networks])

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self.fits, self.decisions = state['fits'], state['decisions']
        self.networks = [self._network() for _ in state['members']]
        for network, texts in zip(self.networks, state['members'], strict=True):
            network.load_state_dict({name: from_text(text['values']).view(text['shape'])
                                     for name, text in texts.items()})
