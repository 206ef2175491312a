"""What a sandwich step costs beside the steps of its four children, each as a network of its own.

    OMP_NUM_THREADS=1 python -m benchmarks.bignas.step [--steps 20] [--rounds 5]

The supernet is that of ``configs/bignas/mbconv_digits_coarse_to_fine.py``. A round has its own two random children; in
it both sides run the same four, on the same batch, and take turns in who is first. Each of the four networks makes a
step of its own optimiser, the supernet one for all. Wanted: a ratio of at most 1.10.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from benchmarks.bignas.common import SEARCH
from benchmarks.common import build_estimator, draw, open_config
from benchmarks.steps import Trained, in_turns, report
from nasdet.cli import CfgOptions
from nasdet.training import sandwich_step

LARGEST_RATIO = 1.10


def steps(config, space, number: int, rounds: int) -> Iterator[tuple[float, float]]:
    """Yield the seconds of a sandwich step and of the four steps, ``number`` times a round."""
    init_default_scope('mmdet')
    loader = Runner.build_dataloader({**config.train_dataloader, 'num_workers': 0}, seed=0)
    batch = next(iter(loader))
    supernet = Trained(space.supernet(config.model), config.optim_wrapper)
    for index in range(rounds):
        children = dict(largest=space.largest(), smallest=space.smallest(), random1=draw(space, 2 * index),
                        random2=draw(space, 2 * index + 1))
        alone = [Trained(space.apply(child, config.model), config.optim_wrapper) for child in children.values()]

        def shared(children=children):
            sandwich_step(supernet.model, space, children, batch, supernet.optimiser)

        def separate(alone=alone):
            for network in alone:
                network.step(batch)

        yield from in_turns(shared, separate, number)


def main() -> int:
    """Measure and print; return 0 where the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=20, help='of each round')
    parser.add_argument('--rounds', type=int, default=5, help='how many random pairs of children')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = open_config(SEARCH, Path(folder), args.cfg_options)
        space, _ = build_estimator(config, Path(folder))
        times = np.array(list(steps(config, space, args.steps, args.rounds)))
    ratio = report(times, ('sandwich step', 'the four steps'), LARGEST_RATIO)
    return 0 if ratio <= LARGEST_RATIO else 1


if __name__ == '__main__':
    sys.exit(main())
