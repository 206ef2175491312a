"""One search as its history tells it: counts, rewards in order, ranking."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from nasdet.errors import SearchError
from nasdet.history.history import EVALUATED, REFUSED, STEP, History, Trial
from nasdet.history.pareto import front


@dataclass(frozen=True)
class Record:
    """One search as its history has it.

    Args:
        trials: In the order of their numbers.
        seconds: Wall seconds of each evaluation, all its attempts together.
        lost: Attempts whose process died.
        interrupted: Attempts that were under way when the search itself was killed.
    """

    trials: list[Trial]
    seconds: dict[int, float]
    lost: int
    interrupted: int

    @property
    def evaluated(self) -> list[Trial]:
        """Trials whose evaluation has ended, well or not."""
        return [trial for trial in self.trials if trial.source == EVALUATED and trial.status != 'running']

    @property
    def reused(self) -> list[Trial]:
        """Trials that are told the result of an earlier one."""
        return [trial for trial in self.trials if trial.reused_from is not None]

    @property
    def refused(self) -> list[Trial]:
        """Trials that a cost limit refused."""
        return [trial for trial in self.trials if trial.source == REFUSED]

    @property
    def failed(self) -> list[Trial]:
        """Trials whose evaluation failed."""
        return [trial for trial in self.evaluated if trial.status == 'failed']

    @property
    def steps(self) -> list[Trial]:
        """Steps of a training that searches, on the way to its candidates."""
        return [trial for trial in self.trials if trial.source == STEP and trial.status == 'ok']

    @property
    def open(self) -> list[Trial]:
        """Trials without a result yet."""
        return [trial for trial in self.trials if trial.status == 'running']

    @property
    def rewards(self) -> list[Optional[float]]:
        """Rewards in the order of evaluation, of several objectives the first; None where it failed."""
        return [first_objective(trial) if trial.status == 'ok' else None for trial in self.evaluated]

    @property
    def predictions(self) -> dict[int, list[tuple[float, float]]]:
        """What a searcher predicted, and the reward, of successful evaluations; by the level of its search."""
        pairs: dict[int, list[tuple[float, float]]] = {}
        for trial in self.evaluated:
            if trial.status == 'ok' and 'predicted' in trial.proposal.meta:
                pair = (trial.proposal.meta['predicted'], first_objective(trial))
                pairs.setdefault(trial.proposal.meta['level'], []).append(pair)
        return pairs

    @property
    def ranking(self) -> list[Trial]:
        """The successful evaluations of distinct architectures, best reward first, of equals the earlier."""
        best: dict[str, Trial] = {}
        for trial in self.evaluated:
            if trial.status == 'ok' and (trial.key not in best or trial.result.reward > best[trial.key].result.reward):
                best[trial.key] = trial
        return sorted(best.values(), key=lambda trial: trial.result.reward, reverse=True)

    def front(self, costs: Sequence[str]) -> list[Trial]:
        """Return the Pareto front of reward and costs: what nothing beats in all of them, best reward first.

        Args:
            costs: Their names, all to be small.
        """
        ranking = self.ranking
        points = [(first_objective(trial), *(-trial.result.costs[name] for name in costs)) for trial in ranking]
        return [ranking[index] for index in front(points)]


def first_objective(trial: Trial) -> float:
    """Return the reward of a successful trial, of several objectives the first."""
    reward = trial.result.reward
    return reward[0] if isinstance(reward, tuple) else reward


def read_record(path: Path) -> Record:
    """Read a history without holding up the search that writes it.

    Args:
        path: ``history.sqlite``.

    Raises:
        SearchError: Not a history, or one whose tables were never written.
    """
    try:
        history = History(path, read_only=True)
        trials = list(history.trials())
        attempts = [history.attempts(trial.trial) for trial in trials if trial.source == EVALUATED]
        seconds = history.evaluation_seconds()
        history.close()
    except sqlite3.DatabaseError as error:
        raise SearchError(f'{path} cannot be read as a history ({error}): run the search first') from error
    lost = sum(status == 'lost' for statuses in attempts for _, status in statuses)
    interrupted = sum(status == 'running' for statuses in attempts for _, status in statuses[:-1])
    return Record(trials, seconds, lost, interrupted)
