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
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from benchmarks.common import build_estimator, draw, open_config
from benchmarks.detnas.common import SUPERNET
from nasdet.cli import CfgOptions
from nasdet.genotype import Genotype
from nasdet.registry import COSTS, build
from nasdet.training import PathSamplingHook, set_path

FROM_SCRATCH = {'search.space.backbone.init_cfg': None}
LARGEST_RATIO = 1.05
CHECKS, LONGEST = 1000, 0.010       # how many, and what they may take in seconds


class Trained:
    """A network and its optimiser.

    Args:
        cfg: Of the network.
        optimiser: Config of the optimiser's wrapper.
    """

    def __init__(self, cfg, optimiser):
        self.model = MODELS.build(cfg).train()
        self.model.init_weights()
        self.optimiser = build_optim_wrapper(self.model, optimiser)

    def seconds(self, batch: dict, before: Callable = lambda: None) -> float:
        """Train one step and return what it took.

        Args:
            batch: Of a loader.
            before: Called first, as a part of the step.
        """
        begun = time.perf_counter()
        before()
        self.model.train_step(batch, self.optimiser)
        return time.perf_counter() - begun


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

        def sample(index=index):
            set_path(supernet.model, space, hook.path(0, index))

        for turn in range(-2, number):      # first buffers and the optimisers' states are made
            if turn % 2:
                fixed, path = alone.seconds(batch), supernet.seconds(batch, sample)
            else:
                path, fixed = supernet.seconds(batch, sample), alone.seconds(batch)
            if turn >= 0:
                yield path, fixed


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
    ratios = times[:, 0] / times[:, 1]
    low, high = np.percentile(ratios, (25, 75))
    print(f'step of the supernet {np.median(times[:, 0]):.4f} s, of a fixed path {np.median(times[:, 1]):.4f} s '
          f'(medians of {len(times)}); ratio {np.median(ratios):.3f}, quartiles {low:.3f} to {high:.3f} '
          f'(wanted: at most {LARGEST_RATIO})')
    cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
    checks = seconds_of_checks(cost, [draw(space, index) for index in range(CHECKS)])
    print(f'{CHECKS} checks: {1000 * checks:.2f} ms (wanted: under {1000 * LONGEST:.0f})')
    return 0 if np.median(ratios) <= LARGEST_RATIO and checks < LONGEST else 1


if __name__ == '__main__':
    sys.exit(main())
