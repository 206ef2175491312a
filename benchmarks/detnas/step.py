"""What a training step of the supernet costs beside a step of one fixed path; and what 1,000 checks of a limit cost.

    OMP_NUM_THREADS=1 python -m benchmarks.detnas.step [--steps 40] [--rounds 5]

Both steps are those of RetinaNet in ``retinanet_digits_evolution.py``, forward, backward and optimiser, on one batch;
the supernet's also draws a path and sets it. They take turns, each first in every second one, and in each turn supernet
and fixed network run the same blocks, so that what else the machine does meets both. Wanted: a step at most 1.05 times
as long; 1,000 checks of the additive table in under 10 ms.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Iterator

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from benchmarks.common import build_estimator, draw, open_config
from benchmarks.detnas.common import SUPERNET
from benchmarks.steps import Trained, in_turns, report
from nasdet.cli import CfgOptions
from nasdet.genotype import Genotype
from nasdet.registry import COSTS, build
from nasdet.training import PathSamplingHook, set_path

FROM_SCRATCH = {'search.space.backbone.init_cfg': None}
LARGEST_RATIO = 1.05
CHECKS, LONGEST = 1000, 0.010       # how many, and what they may take in seconds


def steps(config, space, number: int, rounds: int) -> Iterator[tuple[float, float]]:
    """Yield the seconds of a supernet's step and of the same path's own, ``number`` times for each of some paths."""
    init_default_scope('mmdet')
    loader = Runner.build_dataloader({**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}, seed=0)
    batch = next(iter(loader))
    hook = PathSamplingHook(space)
    supernet = Trained(space.supernet(config.model), config.optim_wrapper)
    for index in range(rounds):
        genotype = hook.path(0, index)
        alone = Trained(space.apply(genotype, config.model), config.optim_wrapper)

        def searched(index=index):
            set_path(supernet.model, space, hook.path(0, index))
            supernet.step(batch)

        yield from in_turns(searched, partial(alone.step, batch), number)


def seconds_of_checks(cost, genotypes: list[Genotype]) -> float:
    """Return what it takes to tell of some genotypes whether they meet the limit, the table measured before."""
    cost(genotypes[0])
    begun = time.perf_counter()
    met = [cost(genotype) <= cost.limit for genotype in genotypes]
    taken = time.perf_counter() - begun
    print(f'{sum(met)} of {len(met)} random paths meet the limit of {cost.limit:,} {cost.unit}')
    return taken


def main() -> int:
    """Measure and print; return 0 where both targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=40, help='of each path')
    parser.add_argument('--rounds', type=int, default=5, help='how many paths')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = open_config(SUPERNET, Path(folder), {**FROM_SCRATCH, **args.cfg_options})
        space, _ = build_estimator(config, Path(folder))
        times = np.array(list(steps(config, space, args.steps, args.rounds)))
    ratio = report(times, ('step of the supernet', 'of a fixed path'), LARGEST_RATIO)
    cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
    checks = seconds_of_checks(cost, [draw(space, index) for index in range(CHECKS)])
    print(f'{CHECKS} checks: {1000 * checks:.2f} ms (wanted: under {1000 * LONGEST:.0f})')
    return 0 if ratio <= LARGEST_RATIO and checks < LONGEST else 1


if __name__ == '__main__':
    sys.exit(main())
