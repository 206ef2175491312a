"""The one loop: ask, evaluate, tell; every step recorded, so that a killed search goes on as if nothing had been."""

import logging
from dataclasses import dataclass, replace
from typing import Callable, Optional

import numpy as np

from nasdet.errors import SearchError
from nasdet.history import EVALUATED, REFUSED, REUSED, History, Trial
from nasdet.objective import Objective
from nasdet.protocol import Outcome, Proposal, Result
from nasdet.randomness import SEARCH, generator
from nasdet.search.dispatch import Dispatcher
from nasdet.search.limits import over_limit

PROPOSALS_PER_TRIAL = 20
PROPOSALS_WITHOUT_NEW_KEY = 1000
FAILURES_IN_A_ROW = 5
SNAPSHOT_EVERY = 500
logger = logging.getLogger('nasdet.search')


@dataclass(frozen=True)
class Rules:
    """What decides the sequence of events, beside the components.

    Args:
        seed: Of the search.
        trials: Evaluations to make.
        window: Proposals that may be open at once.
        order: ``'trial'``: results are told in the order of the trials, so that the history is the same for any
            timing; ``'arrival'``: as they come, so that nobody waits for a straggler.
        reuse: Whether a proposal that was evaluated before is told that result.
    """

    seed: int
    trials: int
    window: int = 1
    order: str = 'trial'
    reuse: bool = True


class Loop:
    """Runs a search from wherever its history stands.

    The next event is a function of the history: while the window has room, the budget is not spent and the searcher
    has a proposal, it is asked; otherwise the lowest open trial is told.

    Args:
        space: Of the genotypes.
        searcher: Proposes.
        costs: Refuse.
        objective: Rewards.
        dispatcher: Evaluates.
        history: Remembers.
        rules: See :class:`Rules`.
    """

    def __init__(self, space, searcher, costs, objective: Objective, dispatcher: Dispatcher, history: History,
                 rules: Rules):
        self.space, self.searcher, self.costs, self.objective = space, searcher, costs, objective
        self.dispatcher, self.history, self.rules = dispatcher, history, rules
        self.on_told: Callable = lambda trial, result, replaced: None    # replaced: whose weights nobody needs now
        self.best: Optional[Trial] = None
        self.proposals = self.evaluations = self.evaluations_told = 0
        self._open: dict[int, Trial] = {}
        self._results: dict[tuple, int] = {}        # (key, budget) -> the trial that evaluated it
        self._costs_of: dict[str, dict] = {}        # key -> its costs; also the set of the keys seen
        self._since_new_key = self._failures = self._told = 0

    def restore(self) -> None:
        """Rebuild the state from the history: the searcher from its events, the rest from the trials."""
        told = self.history.told_trials()
        for trial in self.history.trials():
            self._note_asked(trial)
            if trial.trial in told:
                self._note_told(trial, trial.result)
        seq, state = self.history.last_snapshot()
        if state is not None:
            self.searcher.load_state_dict(state)
        for _, kind, trial in self.history.events(after=seq):
            if kind == 'asked':
                self.searcher.asked(trial.trial, trial.proposal)
            else:
                self.searcher.tell(trial.trial, trial.proposal, trial.result)
        self._failures = 0      # whoever starts a search again has had a chance to mend what failed
        for trial in self._open.values():
            if trial.source == EVALUATED:
                self.dispatcher.resume(trial)

    def run(self) -> str:
        """Go on until the search ends.

        Returns:
            Why it ended, in words.

        Raises:
            SearchError: Five failures in a row.
        """
        while True:
            reason = self._full()
            proposal = None
            if not reason and len(self._open) < self.rules.window:
                rng = generator(self.rules.seed, self.proposals, SEARCH)
                proposal = self.searcher.ask(self.proposals, rng)
            if proposal is not None:
                self._accept(proposal)
            elif self._open:
                self._tell(self._next_open())
            else:
                return reason or 'the searcher proposes nothing more'

    def _full(self) -> str:
        rules = self.rules
        if self.evaluations >= rules.trials:
            return f'{self.evaluations} evaluations are made'
        if self.proposals >= PROPOSALS_PER_TRIAL * rules.trials:
            return f'{self.proposals} proposals gave only {self.evaluations} evaluations (reused or refused otherwise)'
        if self._since_new_key >= PROPOSALS_WITHOUT_NEW_KEY:
            return f'the last {self._since_new_key} proposals held no new architecture'
        return self.searcher.ending if self.searcher.finished else ''

    # ---- asked

    def _accept(self, proposal: Proposal) -> None:
        trial = self._decide(self.proposals, proposal)
        self.history.asked(trial)
        self.searcher.asked(trial.trial, proposal)
        self._note_asked(trial)
        if trial.source == EVALUATED:
            self.dispatcher.start(trial)

    def _decide(self, number: int, proposal: Proposal) -> Trial:
        """Say how a proposal gets its result: refused by a cost, reused from an earlier trial, or evaluated."""
        key = self.space.key(proposal.genotype)
        seed = int(np.random.SeedSequence((self.rules.seed, number)).generate_state(1)[0] >> 1)
        costs = self._costs_of.get(key)
        if costs is None:
            costs = {cost.name: cost(proposal.genotype) for cost in self.costs}
        refusal = over_limit(self.costs, costs)
        if refusal:
            result = Result('refused', costs=costs, error=refusal)
            return Trial(number, key, proposal, seed, REFUSED, 'refused', result)
        earlier = self._results.get((key, proposal.budget)) if self.rules.reuse else None
        source = EVALUATED if earlier is None else f'{REUSED}:{earlier}'
        return Trial(number, key, proposal, seed, source, result=Result('running', costs=costs))

    def _note_asked(self, trial: Trial) -> None:
        self.proposals = trial.trial + 1
        self._open[trial.trial] = trial
        self._since_new_key = self._since_new_key + 1 if trial.key in self._costs_of else 0
        self._costs_of[trial.key] = trial.result.costs
        if trial.source == EVALUATED:
            self.evaluations += 1
            self._results.setdefault((trial.key, trial.proposal.budget), trial.trial)

    # ---- told

    def _next_open(self) -> Trial:
        if self.rules.order == 'trial':
            return self._open[min(self._open)]
        for trial in self._open.values():
            if trial.source == REFUSED or (trial.reused_from is not None and trial.reused_from not in self._open):
                return trial
        return self._open[self.dispatcher.first()]

    def _tell(self, trial: Trial) -> None:
        result = self._result(trial)
        self.history.told(trial.trial, result)
        self.searcher.tell(trial.trial, trial.proposal, result)
        replaced = self._note_told(trial, result)
        self._told += 1
        if self._told % SNAPSHOT_EVERY == 0:
            self.history.snapshot(self.searcher.state_dict())
        self.on_told(trial, result, replaced)
        if self._failures >= FAILURES_IN_A_ROW:
            raise SearchError(f'{self._failures} trials failed in a row; the last one, trial {trial.trial}, with:\n'
                              f'{result.error.strip()}\nMend it, then run the same command again.')

    def _result(self, trial: Trial) -> Result:
        if trial.source == REFUSED:
            return trial.result
        if trial.reused_from is not None:
            return replace(self.history.trial(trial.reused_from).result, costs=trial.result.costs)
        return self._judge(self.dispatcher.wait(trial.trial), trial.result.costs)

    def _judge(self, outcome: Outcome, costs: dict) -> Result:
        if outcome.status != 'ok':
            return Result('failed', costs=costs, error=outcome.error)
        metrics = outcome.evaluation.metrics
        try:
            return Result('ok', self.objective.reward(metrics, costs), metrics, costs)
        except KeyError as error:
            raise SearchError(f'trial {outcome.trial}: {error.args[0]}') from error

    def _note_told(self, trial: Trial, result: Result) -> Optional[int]:
        """Keep the state up to date; return the number of the trial that is not, or no longer, the best."""
        del self._open[trial.trial]
        self.evaluations_told += trial.source == EVALUATED
        loser: Optional[int] = trial.trial
        if result.status == 'failed':
            if self._results.get((trial.key, trial.proposal.budget)) == trial.trial:
                del self._results[trial.key, trial.proposal.budget]     # a failure is tried again, not reused
            self._failures += trial.source == EVALUATED
        elif result.status == 'ok':
            if trial.source == EVALUATED:
                self._failures = 0
            if self.best is None or _rank(trial, result) > _rank(self.best, self.best.result):
                loser = self.best.trial if self.best is not None else None
                self.best = replace(trial, status='ok', result=result)
        return loser


def _rank(trial: Trial, result: Result) -> tuple:
    """Return what orders trials: by reward; of equal ones the earlier is better, whichever came first."""
    return result.reward, -trial.trial
