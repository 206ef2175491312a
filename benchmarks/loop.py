"""The loop's own cost: milliseconds a trial with an estimator that takes no time, memory, and replay.

    python -m benchmarks.loop [--trials 20000] [--searchers RandomSearcher EvolutionSearcher ReinforceSearcher]

All but ``evaluate`` is counted: ask, the transactions, ``result.json`` with its fsync, tell. WAL, synchronous=NORMAL.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from mmengine.config import Config

import tests.toys  # noqa: F401 - registers ToySpace and ToyEstimator
from nasdet.history import History
from nasdet.search import Search
from nasdet.search.dispatch import Dispatcher
from nasdet.search.loop import Loop

SEARCHERS = dict(
    RandomSearcher={},
    EvolutionSearcher={},
    # A policy that settles proposes nothing new, and the search ends: this entropy keeps it from that.
    ReinforceSearcher=dict(entropy=1.0))


def config(searcher: str, trials: int) -> Config:
    search = dict(space=dict(type='ToySpace', num_decisions=14), searcher=dict(type=searcher, **SEARCHERS[searcher]),
                  estimator=dict(type='ToyEstimator'), objective='score', engine=dict(type='InlineEngine'),
                  budget=dict(trials=trials), seed=0, reuse=False)
    return Config(dict(custom_imports=dict(imports=['tests.toys'], allow_failed_imports=False), search=search))


def memory() -> float:
    """Return the process's peak memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(searcher: str, trials: int, folder: Path) -> None:
    search = Search.from_cfg(config(searcher, trials), str(folder))
    evaluate, spent, ends, peaks = search.estimator.evaluate, [], [], {}

    def timed(*arguments):
        begun = time.perf_counter()
        evaluation = evaluate(*arguments)
        spent.append(time.perf_counter() - begun)
        return evaluation

    search.engine.start()
    search.engine._estimator.evaluate = timed
    loop = Loop(search.space, search.searcher, [], search.objective,
                Dispatcher(search.engine, search.history, search.work_dir), search.history, search.rules)

    def told(trial, result, replaced):
        ends.append(time.perf_counter())
        if trial.trial + 1 in (100, trials):
            peaks[trial.trial + 1] = memory()

    loop.on_told = told
    loop.run()
    own = 1000 * (np.diff(ends) - np.array(spent[1:]))
    head, tail = own[:99], own[-1000:]
    print(f'{searcher}: median {np.median(own):.2f} ms, mean {own.mean():.2f} ms a trial; '
          f'trials 1-100 {np.median(head):.2f} / {head.mean():.2f}, '
          f'last 1,000 {np.median(tail):.2f} / {tail.mean():.2f}; '
          f'peak memory {peaks[100]:.0f} MiB at 100, {peaks[trials]:.0f} MiB at {trials}')
    search.history.close()


def replay(searcher: str, trials: int, folder: Path, snapshots: bool) -> dict:
    search_config = config(searcher, trials)
    history = History(folder / 'history.sqlite')
    if not snapshots:
        history._db.execute('DELETE FROM snapshots')
    history.close()
    shutil.copytree(folder, folder.with_name('replay'), ignore=shutil.ignore_patterns('trials'))
    search = Search.from_cfg(search_config, str(folder.with_name('replay')))
    loop = Loop(search.space, search.searcher, [], search.objective,
                Dispatcher(search.engine, search.history, search.work_dir), search.history, search.rules)
    begun = time.perf_counter()
    loop.restore()
    print(f'{searcher}: replay of {trials} trials in {time.perf_counter() - begun:.1f} s, '
          f'{"with" if snapshots else "without"} snapshots')
    shutil.rmtree(folder.with_name('replay'))
    return search.searcher.state_dict()


def main() -> None:
    """Measure each searcher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--trials', type=int, default=20000)
    parser.add_argument('--searchers', nargs='+', default=list(SEARCHERS), choices=SEARCHERS)
    args = parser.parse_args()
    for searcher in args.searchers:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / 'search'
            measure(searcher, args.trials, folder)
            states = [replay(searcher, args.trials, folder, snapshots) for snapshots in (True, False)]
            assert states[0] == states[1], 'replay without snapshots must give the same bits'


if __name__ == '__main__':
    main()
