"""What MorphNet's penalty costs beside the training step that it is added to.

    OMP_NUM_THREADS=1 python -m benchmarks.morphnet.step [--steps 30]

The network, its batches and its optimiser are those of ``configs/morphnet/retinanet_r18_digits.py``. Steps with the
penalty and without take turns, two networks of the same weights on the same batch; what is compared is processor time,
so that other work on the machine matters less. Wanted: a ratio of at most 1.05.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from benchmarks.common import open_config
from benchmarks.morphnet.common import SEARCH
from benchmarks.steps import in_turns, report
from nasdet.cli import CfgOptions
from nasdet.trainers.morphnet_config import structure_learning
from nasdet.training import MorphNetHook, TrainingRunner, build_runner

LARGEST_RATIO = 1.05


class Side:
    """A network in training, with the penalty or without.

    Args:
        config: Prepared.
        folder: For the log.
        penalised: Whether the penalty is added.
    """

    def __init__(self, config: Config, folder: Path, penalised: bool):
        recipe, _ = structure_learning(config, config.search.trainer.optimizer)
        self.runner: TrainingRunner = build_runner(recipe, config.model, folder, epochs=1)
        self.runner.model.init_weights()
        self.runner.optim_wrapper = self.runner.build_optim_wrapper(self.runner.optim_wrapper)
        self.runner.model.train()
        self.hook = MorphNetHook(config.search.space.input_shape) if penalised else None
        if self.hook is not None:
            self.hook.before_train(self.runner)

    def step(self, batch: dict) -> None:
        """Make a step."""
        if self.hook is not None:
            self.hook.before_train_iter(self.runner, 0)
        self.runner.model.train_step(batch, self.runner.optim_wrapper)


def measure(config: Config, folder: Path, steps: int) -> np.ndarray:
    """Return the seconds of each pair of steps, (steps, 2): with the penalty, without."""
    sides = [Side(config, folder / name, penalised) for name, penalised in (('with', True), ('without', False))]
    sides[1].runner.model.load_state_dict(sides[0].runner.model.state_dict())
    batch = next(iter(Runner.build_dataloader({**config.train_dataloader, 'num_workers': 0}, seed=0)))
    return np.array(list(in_turns(*(partial(side.step, batch) for side in sides), steps, time.process_time)))


def main() -> int:
    """Measure and print; return 0 where the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=30, help='of each side')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        times = measure(open_config(SEARCH, Path(folder), args.cfg_options), Path(folder), args.steps)
    ratio = report(times, ('step with the penalty', 'without'), LARGEST_RATIO, 'processor time')
    return 0 if ratio <= LARGEST_RATIO else 1


if __name__ == '__main__':
    sys.exit(main())
