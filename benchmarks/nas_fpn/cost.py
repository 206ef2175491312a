"""What weight sharing saves: a candidate scored with the supernet against its own proxy training, on one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.nas_fpn.cost [--candidates 60] [--trainings 3]

The proxy is the TrainingEstimator of ``retinanet_r18_digits_training_evolution.py``, the supernet that of
``retinanet_r18_digits_supernet_ppo.py``, which here loads its data in the one process that trains. Candidates and
trainings take turns, so that what else the machine does meets both. A supernet is trained once, its cached features
included, and scores many candidates.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np
import torch

from benchmarks.common import build_estimator, draw, open_config
from benchmarks.nas_fpn.common import PROXY, SUPERNET
from nasdet.cli import CfgOptions
from nasdet.protocol import Budget

AMORTISED_OVER = 500
LEAST_SPEEDUP = 50
LARGEST_SHARE = 1 / 10
ONE_PROCESS = {'search.estimator.train_threads': 1, 'search.estimator.num_workers': 0}


def seconds_of(run: Callable, *args) -> float:
    begun = time.perf_counter()
    run(*args)
    return time.perf_counter() - begun


def measure(folder: Path, candidates: int, trainings: int, options: dict) -> dict[str, np.ndarray]:
    """Return the seconds of the supernet's training, of each candidate and of each proxy training.

    Args:
        folder: Empty.
        candidates: Genotypes to score with the supernet, beside a first one that is not counted.
        trainings: Genotypes to train.
        options: Settings of both configs to override.
    """
    _, proxy = build_estimator(open_config(PROXY, folder / 'proxy', options), folder / 'proxy')
    config = open_config(SUPERNET, folder / 'supernet', {**options, **ONE_PROCESS})
    space, supernet = build_estimator(config, folder / 'supernet')
    print(f'proxy: {PROXY.name}, {proxy.budget.epochs} epochs; supernet: {SUPERNET.name}, {supernet.epochs} epochs')
    supernet_training = seconds_of(supernet.prepare)
    supernet.setup()
    supernet.evaluate(draw(space, 0), Budget(), 0, folder / 'first')
    scored, trained = [], []
    for number, chunk in enumerate(np.array_split(np.arange(candidates), trainings)):
        scored += [seconds_of(supernet.evaluate, draw(space, index), Budget(), 0, folder / f'scored-{index}')
                   for index in chunk]
        trained.append(seconds_of(proxy.evaluate, draw(space, number), Budget(), 0, folder / f'trained-{number}'))
    return {'supernet training': np.array([supernet_training]), 'candidate': np.array(scored),
            'proxy training': np.array(trained)}


def report(seconds: dict[str, np.ndarray]) -> bool:
    """Print seconds and ratios; return whether both targets are reached."""
    for name, times in seconds.items():
        low, high = np.percentile(times, (25, 75))
        print(f'{name:17} {np.median(times):9.3f} s, n = {times.size}, quartiles {low:.3f} to {high:.3f}')
    training = np.median(seconds['proxy training'])
    speedup = training / np.median(seconds['candidate'])
    share = seconds['supernet training'][0] / AMORTISED_OVER / training
    print(f'proxy training / candidate: {speedup:.1f} (wanted: at least {LEAST_SPEEDUP})')
    print(f'supernet training / {AMORTISED_OVER} candidates / proxy training: {share:.4f} '
          f'(wanted: at most {LARGEST_SHARE})')
    return bool(speedup >= LEAST_SPEEDUP and share <= LARGEST_SHARE)


def main() -> int:
    """Measure and print; return 0 where both targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--candidates', type=int, default=60)
    parser.add_argument('--trainings', type=int, default=3)
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE',
                        help='settings of both configs to override, for a quick try')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return 0 if report(measure(Path(folder), args.candidates, args.trainings, args.cfg_options)) else 1


if __name__ == '__main__':
    sys.exit(main())
