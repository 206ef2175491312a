"""What the layout in which our networks train on a CPU saves: a training step in it, beside the same in the default.

    OMP_NUM_THREADS=1 python -m benchmarks.layout [--networks 3] [--steps 10]

For each search, random networks of its space make steps of the search's own training on one batch; both sides begin
with the same weights and take turns. Processor time: waiting for other programs does not count.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator
from unittest.mock import patch

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from benchmarks.common import CONFIGS, draw, open_config
from benchmarks.steps import Trained, in_turns, report
from nasdet.registry import SPACES, build

SEARCHES = ('nasnet/nasnet_digits_ppo.py', 'pnas/pnas_digits_progressive.py', 'enas/enas_micro_digits_search.py',
            'enas/enas_macro_digits_search.py', 'detnas/retinanet_digits_training_evolution.py',
            'bignas/mbconv_digits_coarse_to_fine.py', 'bignas/retinanet_mbconv_digits_coarse_to_fine.py')
LARGEST_RATIO = 1.0


@contextmanager
def default_layout() -> Iterator[None]:
    """Let our backbones leave images in the layout in which they come."""
    backbones = [module for name, module in sys.modules.items()
                 if name.startswith('nasdet.models.backbones.') and hasattr(module, 'training_layout')]
    with ExitStack() as stack:
        for module in backbones:
            stack.enter_context(patch.object(module, 'training_layout', lambda images, training: images))
        yield


def steps(path: Path, networks: int, number: int) -> Iterator[tuple[float, float]]:
    """Yield the seconds of a step in our layout and in the default, ``number`` times a network."""
    with tempfile.TemporaryDirectory() as folder:
        config = open_config(path, Path(folder), {})
        init_default_scope('mmdet')
        loader = {**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))
        space = build(SPACES, config.search.space)
        for index in range(networks):
            model = space.apply(draw(space, index), config.model)
            ours, plain = (_trained(model, config.optim_wrapper) for _ in range(2))

            def default(network=plain):
                with default_layout():
                    network.step(batch)

            yield from in_turns(lambda network=ours: network.step(batch), default, number, time.process_time)


def _trained(model, optimiser) -> Trained:
    torch.manual_seed(0)
    return Trained(model, optimiser)


def main() -> int:
    """Measure and print; return 0 where no step takes longer in our layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', type=int, default=3, help='of each space')
    parser.add_argument('--steps', type=int, default=10, help='of each network')
    args = parser.parse_args()
    torch.set_num_threads(1)
    ratios = []
    for name in SEARCHES:
        print(name)
        times = np.array(list(steps(CONFIGS / name, args.networks, args.steps)))
        ratios.append(report(times, ('channels-last', 'default'), LARGEST_RATIO, 'processor time'))
    return 0 if max(ratios) <= LARGEST_RATIO else 1


if __name__ == '__main__':
    sys.exit(main())
