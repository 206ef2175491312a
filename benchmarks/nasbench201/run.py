"""The three searchers on NAS-Bench-201: 200 seeds, 500 trials each, against the figures of an independent simulation.

Reward is the validation accuracy on CIFAR-10 after 12 epochs, the figure is the test accuracy after 200 epochs of
the cell with the best reward so far, at 100 and at 500 trials. Seeds that results.csv already has are skipped;
delete a searcher's rows there after changing it. From the root of the repository::

    python benchmarks/nasbench201/run.py PATH/TO/nasbench201.csv
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.nasbench201.space import NasBench201Space  # noqa: E402
from nasdet.estimators.tabular import TabularEstimator  # noqa: E402
from nasdet.protocol import Budget, Result  # noqa: E402
from nasdet.registry import SEARCHERS, build  # noqa: E402

RESULTS = Path(__file__).with_name('results.csv')
REWARD, FIGURE = 'cifar10_valid_12ep', 'cifar10_test_200ep'
CHECKPOINTS = (100, 500)
CONFIGS = dict(random=dict(type='RandomSearcher'),
               evolution=dict(type='EvolutionSearcher', population=10, sample=3),
               reinforce=dict(type='ReinforceSearcher'))
TARGETS = dict(random=(93.72, 94.00), evolution=(93.93, 94.26), reinforce=(93.90, 94.26))


def search(searcher, estimator, seed, checkpoints=CHECKPOINTS):
    """Run one search by ask and tell; return the figure at each checkpoint, a number of trials."""
    best, figures = (-np.inf, None), []
    for trial in range(max(checkpoints)):
        proposal = searcher.ask(trial, np.random.default_rng((seed, trial)))
        searcher.asked(trial, proposal)
        metrics = estimator.evaluate(proposal.genotype, Budget(), seed).metrics
        if metrics[REWARD] > best[0]:
            best = metrics[REWARD], metrics[FIGURE]
        searcher.tell(trial, proposal, Result('ok', metrics[REWARD], metrics))
        if trial + 1 in checkpoints:
            figures.append(best[1])
    return figures


def read_results():
    if not RESULTS.exists():
        return {}
    with open(RESULTS, newline='') as file:
        return {(row['searcher'], int(row['seed'])): [float(row[f'test_{n}']) for n in CHECKPOINTS]
                for row in csv.DictReader(file)}


def append_result(name, seed, figures):
    new = not RESULTS.exists()
    with open(RESULTS, 'a', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        if new:
            writer.writerow(['searcher', 'seed', *(f'test_{n}' for n in CHECKPOINTS)])
        writer.writerow([name, seed, *figures])


def print_table(results, seeds):
    """Print mean and standard error; return whether none lies more than two standard errors below its target."""
    reached = True
    for name, targets in TARGETS.items():
        figures = np.array([results[name, seed] for seed in range(seeds)])
        errors = figures.std(axis=0, ddof=1) / np.sqrt(seeds)
        for trials, mean, error, target in zip(CHECKPOINTS, figures.mean(axis=0), errors, targets, strict=True):
            good = mean >= target - 2 * error
            reached &= good
            print(f'{name:10} {trials:4} trials: {mean:.3f} +- {error:.3f} % (standard error, {seeds} seeds), '
                  f'target {target}: {"reached" if good else "MISSED"}')
    return reached


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('table', help='nasbench201.csv: one row a cell, with arch, cifar10_valid_12ep, ...')
    parser.add_argument('--seeds', type=int, default=200)
    arguments = parser.parse_args()
    space = NasBench201Space()
    estimator = TabularEstimator(space, arguments.table, key='arch', metrics=[REWARD, FIGURE])
    results = read_results()
    for name, cfg in CONFIGS.items():
        for seed in range(arguments.seeds):
            if (name, seed) not in results:
                results[name, seed] = search(build(SEARCHERS, cfg, dict(seed=seed), space=space), estimator, seed)
                append_result(name, seed, results[name, seed])
    return 0 if print_table(results, arguments.seeds) else 1


if __name__ == '__main__':
    sys.exit(main())
