"""A search from its config to its files: every check before any work, then the loop, then the best and the report."""

import copy
import logging
from contextlib import closing
from typing import Optional

from mmengine.config import Config

from nasdet.config import network_of
from nasdet.console import Bar
from nasdet.errors import SearchError
from nasdet.export import export
from nasdet.genotype import Genotype
from nasdet.history import History
from nasdet.history.workdir import WorkDir
from nasdet.objective import Objective
from nasdet.randomness import control_seed
from nasdet.registry import COSTS, ENGINES, ESTIMATORS, SEARCHERS, SPACES, build
from nasdet.search.checks import check_fingerprint, check_fit
from nasdet.search.dispatch import Dispatcher
from nasdet.search.limits import check_limits, record_limits
from nasdet.search.loop import Loop, Rules
from nasdet.search.opening import open_search

logger = logging.getLogger('nasdet.search')


class Search:
    """One search in one work dir.

    Args:
        config: A prepared config: its dataloaders and evaluators point at search-train, search-val and test.
        work_dir: Held by this process.
        history: Open, of this work dir.
    """

    def __init__(self, config: Config, work_dir: WorkDir, history: History):
        self.config, self.work_dir, self.history = config, work_dir, history
        search, model = config.search, config.get('model')
        try:
            self.space = build(SPACES, search.space)
            seed = dict(seed=search.get('seed', 0))
            self.searcher = build(SEARCHERS, search.searcher, seed, space=self.space)
            self.objective = Objective.from_cfg(search)
            self.costs = [build(COSTS, cost, space=self.space, model=model) for cost in search.get('costs', [])]
            record_limits(search.get('costs', []), self.costs)
            self.estimator = build(ESTIMATORS, search.estimator, seed, space=self.space, config=network_of(config),
                                   work_dir=search.get('shared_dir', work_dir.path))
            self.engine = build(ENGINES, search.get('engine', dict(type='InlineEngine')), work_dir=work_dir.path)
            self._check_fit(model)
            self.estimator.check()
        except ValueError as error:
            raise SearchError(str(error)) from error
        self.rules = self._rules(search)
        if history.trial(0) is None:
            check_limits(self.space, self.costs, self.rules.seed)
        history.set_meta('window', self.rules.window)

    @classmethod
    def from_cfg(cls, cfg: Config, work_dir: Optional[str] = None) -> 'Search':
        """Open a work dir for a config, as :func:`~nasdet.search.opening.open_search` does."""
        return open_search(cls, cfg, work_dir)

    def run(self) -> Genotype:
        """Search until the budget is spent, and leave ``best/``.

        Returns:
            The best genotype.

        Raises:
            SearchError: Five failures in a row, or not one success.
        """
        self.estimator.prepare()
        check_fingerprint(self.estimator, self.history, self.work_dir.path)
        self.engine.start()
        try:
            reason = self._loop()
        finally:
            self.engine.close()
        logger.info('the search has ended: %s', reason)
        best = self.best
        if best is None:
            raise SearchError(f'no trial succeeded ({reason}); see {self.work_dir.path}/trials')
        self._export(best)
        return best.proposal.genotype

    def run_control(self) -> str:
        """Search at random at equal cost; return a sentence with both rewards."""
        with closing(self.control()) as control:
            control.run()
        return (f'reward: {self.best.result.reward} searched, {control.best.result.reward} random control, '
                f'{self.evaluations} evaluations each')

    def control(self) -> 'Search':
        """Return the random search at equal cost: as many evaluations, in ``WORK_DIR/control/``."""
        config = copy.deepcopy(self.config)
        config.search.searcher = dict(type='RandomSearcher')
        config.search.seed = control_seed(config.search.get('seed', 0))
        config.search.budget = dict(trials=self.evaluations)
        config.search.shared_dir = str(config.search.get('shared_dir', self.work_dir.path))
        return Search.from_cfg(config, str(self.work_dir.control))

    def close(self) -> None:
        """Let another process, or another search of this one, have the work dir."""
        self.history.close()
        self.work_dir.release()

    # ---- before the loop

    def _check_fit(self, model) -> None:
        """Refuse parts that do not fit each other, by the name of what is missing."""
        if model is None and 'apply' in self.estimator.requires:
            raise ValueError(f'{type(self.estimator).__name__} trains a detector, and the config has no model')
        if self.objective.many and not self.searcher.many_objectives:
            raise ValueError(f'{type(self.searcher).__name__} handles one objective, not {len(self.objective.goals)}')
        known = [cost.name for cost in self.costs]
        unknown = [name for name in self.searcher.needed_costs if name not in known]
        if unknown:
            raise ValueError(f'{type(self.searcher).__name__} needs the cost {unknown[0]!r}, and the costs of the '
                             f'search are {", ".join(known) or "none"}: name one of them')
        check_fit(self.estimator, self.space, self.costs, self.objective, model)

    def _rules(self, search) -> Rules:
        window = search.get('window') or self.history.meta('window') or self.engine.slots
        return Rules(search.get('seed', 0), search.budget.trials, window, search.get('order', 'trial'),
                     search.get('reuse', True))

    # ---- the loop, seen

    def _loop(self) -> str:
        dispatcher = Dispatcher(self.engine, self.history, self.work_dir)
        loop = Loop(self.space, self.searcher, self.costs, self.objective, dispatcher, self.history, self.rules)
        loop.restore()
        with Bar(f'search ({type(self.searcher).__name__})', self.rules.trials, loop.evaluations_told) as bar:
            def show(trial, result, replaced):
                what = result.error.strip().splitlines()[-1] if result.error else f'reward {result.reward}'
                source = '' if trial.source == result.status else f'{trial.source}, '
                logger.info('trial %d %s%s: %s', trial.trial, source, result.status, what)
                self._discard_weights(replaced)
                bar.update(loop.evaluations_told, f'best {loop.best.result.reward}' if loop.best else '')

            loop.on_told = show
            reason = loop.run()
        self.best, self.evaluations = loop.best, loop.evaluations
        return reason

    def _discard_weights(self, trial: Optional[int]) -> None:
        """Keep the weights of the best trial only: a search of thousands would fill a disk."""
        if trial is not None:
            for weights in self.work_dir.trial(trial).glob('**/weights.pth'):
                weights.unlink()

    def _export(self, best) -> None:
        attempts = self.history.attempts(best.trial)
        folder = self.work_dir.trial(best.trial, attempts[-1][0] if attempts else 1)
        export(self.config, self.space, best.proposal.genotype, self.work_dir.best,
               weights=lambda path: self.estimator.weights(best.proposal.genotype, folder, path))
