"""Progressive search: from small cells to large ones, guided by a surrogate.

Liu, Zoph, Neumann, Shlens, Hua, Li, Fei-Fei, Yuille, Huang, Murphy: Progressive Neural Architecture Search. ECCV 2018,
arXiv:1712.00559, algorithm 1.
"""

import heapq
import logging
from itertools import chain, islice
from operator import itemgetter
from typing import Iterator, Optional, Sequence

import numpy as np
from scipy import stats

from nasdet.genotype import Genotype
from nasdet.protocol import Proposal, Result
from nasdet.registry import SEARCHERS
from nasdet.searchers.base import Searcher
from nasdet.searchers.individuals import Individual, from_json, to_json
from nasdet.searchers.surrogate import SURROGATES, Ensemble
from nasdet.spaces.base import Space

REFITS = ('level', 'all')
SPARE = 10      # candidates kept for each place in the beam, should costs refuse some
CHUNK = 4096    # candidates predicted at once
logger = logging.getLogger(__name__)


@SEARCHERS.register_module()
class ProgressiveSearcher(Searcher):
    """Evaluates all smallest architectures, then level by level the most promising ones that are one step larger.

    A level ends when all its results are there. They teach the surrogate, which then predicts the reward of every
    one-step extension of the level's architectures; the best ``beam`` of these are the next level. How well they were
    predicted is known when they are evaluated: that rank correlation, on architectures larger than any that the
    surrogate has seen, is logged. An architecture that a cost refuses leaves its place to the next best; one that
    fails keeps it, and is not extended.

    The search ends with the largest architectures of the space. Rewards lie in 0..1.

    Args:
        space: With ``extensions``.
        beam: Architectures of each level after the first, K in the paper.
        surrogate: ``'mlp'`` or ``'lstm'`` (:mod:`nasdet.searchers.surrogate`).
        members: Surrogates whose mean predicts.
        epochs: Passes over the data of a level.
        lr: Adam's learning rate at the first level and at the later ones.
        refit: What a level changes: ``'level'`` trains the surrogates on with the level's data, ``'all'`` trains new
            ones on all data so far.
        minibatch: Architectures a gradient step.
        hidden: Size of the surrogates' embeddings and layers.
        seed: Of the surrogates; in a search, the search's where the config does not say.

    Raises:
        ValueError: The space cannot extend a genotype, or an argument is out of its range.
    """

    def __init__(self, space: Space, beam: int = 256, surrogate: str = 'mlp', members: int = 5, epochs: int = 100,
                 lr: Sequence[float] = (0.01, 0.002), refit: str = 'level', minibatch: int = 32, hidden: int = 100,
                 seed: int = 0):
        super().__init__(space)
        if not space.can('extensions'):
            raise ValueError(f'ProgressiveSearcher needs a space with extensions(), such as PNASSpace; {space.name} '
                             f'has none')
        if min(beam, members, epochs, minibatch, hidden) < 1:
            raise ValueError(f'beam, members, epochs, minibatch and hidden must be at least 1, not {beam}, {members}, '
                             f'{epochs}, {minibatch}, {hidden}')
        for name, given, known in (('surrogate', surrogate, tuple(SURROGATES)), ('refit', refit, REFITS)):
            if given not in known:
                raise ValueError(f'{name} must be one of {known}, not {given!r}')
        if not isinstance(lr, (list, tuple)) or len(lr) != 2 or min(lr) <= 0:
            raise ValueError(f'lr is two rates above 0, of the first level and of the later ones, not {lr!r}')
        self.beam, self.epochs, self.lr, self.refit = beam, epochs, tuple(lr), refit
        self.ensemble = Ensemble(space, surrogate, members, hidden, minibatch, seed=seed)
        self.past: list[Individual] = []                # of earlier levels
        self.correlations: list[Optional[float]] = []   # of each level after the first
        self._begin_level(1, list(space.extensions(None)))

    def _begin_level(self, level: int, queue: list[Genotype], predicted: Sequence[float] = ()) -> None:
        self.level, self.queue, self.predicted = level, queue, list(predicted)
        self.places = len(queue) if level == 1 else min(self.beam, len(queue))
        self.asked_of_queue = self.refused = self.open = 0
        self.scored: list[Individual] = []
        self.predictions: list[Optional[float]] = []    # of those scored; None at the first level

    # ---- the searcher

    def ask(self, trial: int, rng: np.random.Generator) -> Optional[Proposal]:
        """Return the most promising architecture of the level that is left, or None while its results are awaited."""
        if self._full:
            return None
        genotype = self.queue[self.asked_of_queue]
        predicted = dict(predicted=self.predicted[self.asked_of_queue]) if self.predicted else {}
        return Proposal(genotype, self.space.encode(genotype), meta=dict(level=self.level, **predicted))

    def asked(self, trial: int, proposal: Proposal) -> None:
        """Count the proposal."""
        self.asked_of_queue += 1
        self.open += 1

    def tell(self, trial: int, proposal: Proposal, result: Result) -> None:
        """Take a result; the last one of a level begins the next.

        Raises:
            ValueError: The reward is not in 0..1.
        """
        self.open -= 1
        if result.status == 'refused':
            self.refused += 1
        elif result.status == 'ok':
            if not 0 <= result.reward <= 1:
                raise ValueError(f'trial {trial} has the reward {result.reward}, but ProgressiveSearcher predicts '
                                 f'rewards in 0..1: take an objective such as an accuracy or mAP')
            self.scored.append(Individual(trial, proposal.genotype, result.reward))
            self.predictions.append(proposal.meta.get('predicted'))
        if self._full and self.open == 0:
            self._end_level()

    @property
    def _full(self) -> bool:
        """Whether the level has no place, or no candidate, left."""
        return (self.asked_of_queue - self.refused == self.places) or self.asked_of_queue == len(self.queue)

    @property
    def finished(self) -> bool:
        """Whether there is nothing larger to propose."""
        return not self.queue

    @property
    def ending(self) -> str:
        """Which level was the last, in words."""
        return f'level {self.level - 1} is evaluated, and no architecture of it can be extended'

    # ---- from level to level

    def _end_level(self) -> None:
        self._report()
        self.past += self.scored
        extensions = self._extensions()
        first = next(extensions, None)
        if first is None:
            self._begin_level(self.level + 1, [])
            return
        self._teach()
        best = heapq.nlargest(SPARE * self.beam, self._predicted(chain([first], extensions)), key=itemgetter(0))
        self._begin_level(self.level + 1, [genotype for _, genotype in best], [predicted for predicted, _ in best])

    def _extensions(self) -> Iterator[Genotype]:
        """Yield the extensions of all that was scored in the level, each once; in the paper's search some 300,000."""
        seen = set()
        for member in self.scored:
            for longer in self.space.extensions(member.genotype):
                digest = longer.digest()
                if digest not in seen:
                    seen.add(digest)
                    yield longer

    def _teach(self) -> None:
        data = self.past if self.refit == 'all' else self.scored
        first = self.refit == 'all' or self.ensemble.fits == 0
        self.ensemble.fit([member.genotype for member in data], [member.reward for member in data],
                          self.lr[0] if first else self.lr[1], self.epochs, anew=self.refit == 'all')

    def _predicted(self, genotypes: Iterator[Genotype]) -> Iterator[tuple[float, Genotype]]:
        """Yield each genotype with its predicted reward; so few at a time that memory holds them."""
        while chunk := list(islice(genotypes, CHUNK)):
            yield from zip(self.ensemble.predict(chunk).tolist(), chunk, strict=True)

    def _report(self) -> None:
        rewards = [member.reward for member in self.scored]
        message = f'level {self.level}: {len(rewards)} architectures scored'
        if rewards:
            message += f', best reward {max(rewards):.4f}'
        if self.predicted:
            self.correlations.append(_rank_correlation(self.predictions, rewards))
            message += f'; Spearman rank correlation of predicted and measured reward: {_shown(self.correlations[-1])}'
        logger.info(message)

    # ---- state

    def state_dict(self) -> dict:
        """Return the level under way, what has been scored, and the surrogates."""
        return dict(level=self.level, queue=[genotype.to_json() for genotype in self.queue], predicted=self.predicted,
                    asked=self.asked_of_queue, refused=self.refused, open=self.open, scored=to_json(self.scored),
                    predictions=self.predictions, past=to_json(self.past), correlations=self.correlations,
                    ensemble=self.ensemble.state_dict())

    def load_state_dict(self, state: dict) -> None:
        """Take a state that :meth:`state_dict` returned."""
        self._begin_level(state['level'], [Genotype.from_json(text) for text in state['queue']], state['predicted'])
        self.asked_of_queue, self.refused, self.open = state['asked'], state['refused'], state['open']
        self.scored, self.past = from_json(state['scored']), from_json(state['past'])
        self.predictions = list(state['predictions'])
        self.correlations = list(state['correlations'])
        self.ensemble.load_state_dict(state['ensemble'])


def _rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> Optional[float]:
    """Return Spearman's rank correlation; None where it is undefined: fewer than three pairs, or all equal."""
    if len(measured) < 3 or len(set(predicted)) == 1 or len(set(measured)) == 1:
        return None
    return float(stats.spearmanr(predicted, measured).statistic)


def _shown(correlation: Optional[float]) -> str:
    return 'undefined' if correlation is None else f'{correlation:.2f}'
