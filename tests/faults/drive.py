"""A small search for tests that kill it: ``drive`` is what a process of its own runs."""

import os
from pathlib import Path

from mmengine.config import Config

import tests.toys  # noqa: F401 - registers the toys
from nasdet.search import Search

TRIALS = 40


def toy_config(log: Path, slots: int = 1, searcher: str = 'EvolutionSearcher', **changes) -> Config:
    """Return a search config over the toy space whose workers log every evaluation to a file."""
    searchers = dict(EvolutionSearcher=dict(type='EvolutionSearcher', population=8, sample=3),
                     RandomSearcher=dict(type='RandomSearcher'),
                     ReinforceSearcher=dict(type='ReinforceSearcher'))
    engine = dict(type='InlineEngine') if slots == 0 else dict(type='LocalEngine', slots=slots, preload=[])
    estimator = dict(type='ToyEstimator', noise=0.05, seconds=0.03, log=str(log))
    search = dict(space=dict(type='ToySpace', num_decisions=5), searcher=searchers[searcher], estimator=estimator,
                  objective='score', engine=engine, budget=dict(trials=TRIALS), seed=3)
    return Config(dict(custom_imports=dict(imports=['tests.toys'], allow_failed_imports=False),
                       search={**search, **changes}))


def drive(work_dir: str, slots: int, window: int, errors: str) -> None:
    """Run the search of a work dir to its end, and write to a file what it says."""
    with open(errors, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    Search.from_cfg(toy_config(Path(work_dir) / 'evaluations.log', slots, window=window), work_dir).run()
