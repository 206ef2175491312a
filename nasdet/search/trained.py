"""A search within one training: a trainer's steps become the history, the best of its candidates the result."""

import copy
import logging
import time
from contextlib import closing
from pathlib import Path
from typing import Optional

from mmengine.config import Config, ConfigDict

from nasdet.config import network_of
from nasdet.errors import SearchError
from nasdet.export import export
from nasdet.files import write_whole
from nasdet.genotype import Genotype
from nasdet.history import EVALUATED, STEP, History, Trial
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir
from nasdet.objective import Objective
from nasdet.protocol import Evaluation, Proposal, Result
from nasdet.randomness import control_seed
from nasdet.registry import COSTS, ESTIMATORS, SPACES, TRAINERS, build
from nasdet.search.checks import check_fingerprint, check_fit
from nasdet.search.opening import open_search
from nasdet.search.sampling import Search

FOUND = 'found.jsonl'
logger = logging.getLogger('nasdet.search')


class TrainedSearch:
    """One search within a training, in one work dir.

    Args:
        config: A prepared config: its dataloaders and evaluators point at search-train, search-val and test.
        work_dir: Held by this process.
        history: Open, of this work dir.

    Raises:
        SearchError: Parts that are wrong or do not fit each other, by the name of what is missing.
    """

    def __init__(self, config: Config, work_dir: WorkDir, history: History):
        self.config, self.work_dir, self.history = config, work_dir, history
        search, model = config.search, config.get('model')
        try:
            self.space = build(SPACES, search.space)
            self.objective = Objective.from_cfg(search)
            self.costs = [build(COSTS, cost, space=self.space, model=model) for cost in search.get('costs', [])]
            self.network = network_of(config)
            self.trainer = build(TRAINERS, search.trainer, dict(seed=search.get('seed', 0)), space=self.space,
                                 config=self.network, work_dir=work_dir.path)
            self._check_fit(model)
            self.trainer.check()
        except ValueError as error:
            raise SearchError(str(error)) from error
        self._started = time.perf_counter()

    @classmethod
    def from_cfg(cls, cfg: Config, work_dir: Optional[str] = None) -> 'TrainedSearch':
        """Open a work dir for a config, as :func:`~nasdet.search.opening.open_search` does."""
        return open_search(cls, cfg, work_dir)

    def run(self) -> Genotype:
        """Train to the end, and leave ``best/``.

        Returns:
            The best candidate.

        Raises:
            SearchError: The training failed, or the data have changed since it began.
        """
        check_fingerprint(self.trainer, self.history, self.work_dir.path)
        self._started = time.perf_counter()
        if not self.history.meta('trained'):
            self.trainer.run(self._record)
            self.history.set_meta('trained', True)
        logger.info('the search has ended: %d steps are trained', self.trainer.steps)
        genotype = self.best.proposal.genotype
        export(self.config, self.space, genotype, self.work_dir.best,
               weights=lambda path: self.trainer.weights(genotype, path))
        return genotype

    @property
    def best(self) -> Trial:
        """The best candidate, of equals the earlier."""
        ranking = read_record(self.work_dir.history).ranking
        if not ranking:
            raise SearchError(f'{type(self.trainer).__name__} offered no candidate; see {self.work_dir.log}')
        return ranking[0]

    def run_control(self) -> str:
        """Train the best candidate alone, and as many random genotypes as cost what the search did.

        A supernet's scores say nothing beside those of networks trained alone, so both sides are trained in the same
        way, in ``WORK_DIR/alone/`` and ``WORK_DIR/control/``.

        Returns:
            A sentence with both rewards.

        Raises:
            SearchError: ``search.control`` does not say how.
        """
        with closing(self.alone()) as alone:
            alone.run()
        with closing(self.control()) as control:
            control.run()
        return (f'reward, trained alone: {alone.best.result.reward} searched, {control.best.result.reward} control '
                f'(best of {control.evaluations} by {type(control.searcher).__name__})')

    def alone(self) -> Search:
        """Return the training of the best candidate alone, in ``WORK_DIR/alone/``."""
        found = self.work_dir.path / FOUND
        write_whole(found, f'{self.best.proposal.genotype.to_json()}\n'.encode())
        return self._trainings(self.work_dir.alone, dict(type='ListSearcher', file=str(found)),
                               self._control().estimator, trials=1)

    def control(self) -> Search:
        """Return the control, in ``WORK_DIR/control/``: trainings at equal cost in training images.

        These are as many as the search's images are enough for. With ``control.single`` it is one training, which takes
        the images of the search besides those that what was found takes alone.
        """
        control = self._control()
        estimator = build(ESTIMATORS, control.estimator, space=self.space, config=self.network,
                          work_dir=self.work_dir.path)
        if estimator.training_images is None:
            raise SearchError(f'search.control.estimator trains nothing alone, being a {control.estimator.type}: take '
                              f"a TrainingEstimator")
        trials, how = max(1, self.trainer.images // estimator.training_images), copy.deepcopy(control.estimator)
        if control.get('single', False):
            epochs = estimator.budget.epochs
            trials, how.epochs = 1, epochs + round(epochs * self.trainer.images / estimator.training_images)
        searcher = control.get('searcher', dict(type='RandomSearcher'))
        return self._trainings(self.work_dir.control, searcher, how, trials)

    def close(self) -> None:
        """Let another process, or another search of this one, have the work dir."""
        self.history.close()
        self.work_dir.release()

    def _control(self) -> ConfigDict:
        if 'control' not in self.config.search:
            raise SearchError("search.control does not say how the control is trained: give it estimator=dict("
                              "type='TrainingEstimator', epochs=...)")
        return self.config.search.control

    def _trainings(self, folder: Path, searcher: dict, estimator: ConfigDict, trials: int) -> Search:
        """Return a search whose candidates are trained alone as the control says."""
        config = copy.deepcopy(self.config)
        search = config.search
        search.update(searcher=searcher, estimator=estimator, budget=dict(trials=trials),
                      seed=control_seed(search.get('seed', 0)), shared_dir=str(self.work_dir.path))
        for name in ('trainer', 'control'):
            search.pop(name)
        return Search.from_cfg(config, str(folder))

    def _check_fit(self, model) -> None:
        name = type(self.trainer).__name__
        if model is None:
            raise ValueError(f'{name} trains a network, and the config has no model')
        if self.objective.many:
            raise ValueError(f'{name} handles one objective, not {len(self.objective.goals)}')
        own = self.trainer.rewarded_by
        if own is not None and self.objective.goals != {own: 'max'}:
            raise ValueError(f'{name} learns from {own}, so search.objective can be nothing else, not '
                             f'{", ".join(self.objective.goals)}')
        limited = [cost.name for cost in self.costs if cost.limit is not None]
        if limited:
            raise ValueError(f'{name} refuses no architecture, so {limited[0]} can have no limit: leave it out')
        check_fit(self.trainer, self.space, self.costs, self.objective, model)

    # ---- the steps

    def _record(self, number: int, genotype: Genotype, evaluation: Evaluation, candidate: bool = False) -> None:
        stored = self.history.trial(number)
        if stored is None:
            stored = self._begin(number, genotype, EVALUATED if candidate else STEP)
        key = self.space.key(genotype)
        if stored.key != key:
            logger.warning('step %d was recorded before a kill with %s, and gave %s again: the training does not '
                           'repeat itself on this machine', number, stored.key, key)
        if stored.status == 'running':
            self._end(stored, evaluation)

    def _begin(self, number: int, genotype: Genotype, source: str) -> Trial:
        costs = {cost.name: cost(genotype) for cost in self.costs}
        trial = Trial(number, self.space.key(genotype), Proposal(genotype, self.space.encode(genotype)),
                      self.config.search.get('seed', 0), source, result=Result('running', costs=costs))
        self.history.asked(trial)
        self.history.begin_attempt(number, 1)
        return trial

    def _end(self, trial: Trial, evaluation: Evaluation) -> None:
        costs = trial.result.costs
        try:
            result = Result('ok', self.objective.reward(evaluation.metrics, costs), evaluation.metrics, costs)
        except KeyError as error:
            raise SearchError(f'step {trial.trial}: {error.args[0]}') from error
        now = time.perf_counter()
        self.history.end_attempt(trial.trial, 1, now - self._started, 'ok', '')
        self._started = now
        self.history.told(trial.trial, result)
        shown = ', '.join(f'{name} {value}' for name, value in evaluation.fidelity.items())
        logger.info('trial %d %s ok: reward %s%s', trial.trial, trial.source, result.reward,
                    f' ({shown})' if shown else '')
