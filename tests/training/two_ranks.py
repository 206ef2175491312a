"""Trainings of the toy supernet under torchrun: a straight one, and one that is broken off and resumed."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Optional

import torch
from mmengine.hooks import Hook

from nasdet.training import PathSamplingHook, build_runner
from tests.training.toys import BlockSpace, toy_config


class Witness(Hook):
    """Notes each iteration's path and which blocks it moved; may die as an epoch begins."""

    priority = 'VERY_LOW'

    def __init__(self, die_at):
        self.die_at = die_at
        self.paths, self.moved = [], []

    def before_train_epoch(self, runner):
        if runner.epoch == self.die_at:
            raise KeyboardInterrupt

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = blocks_of(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.paths.append(runner.model.module.searched.block)
        pairs = zip(self.before, blocks_of(runner), strict=True)
        self.moved.append([number for number, (old, new) in enumerate(pairs) if not torch.equal(old, new)])


def blocks_of(runner) -> list[torch.Tensor]:
    """Return a copy of the parameters of each block."""
    blocks = runner.model.module.searched.blocks
    return [torch.cat([parameter.detach().flatten() for parameter in block.parameters()]) for block in blocks]


def train(folder: Path, die_at: Optional[int] = None) -> None:
    """Train two epochs; each rank then writes what it saw to ``FOLDER/rank<N>.json``."""
    config = toy_config(batch_size=4)       # two iterations an epoch on each of two ranks
    witness = Witness(die_at)
    hooks = [PathSamplingHook(BlockSpace()), witness]
    runner = build_runner(config, config.model, folder, 2, seed=3, checkpoints=True, launcher='pytorch',
                          find_unused_parameters=True, hooks=hooks)
    runner.train()
    model = runner.model.module
    stepped = runner.optim_wrapper.optimizer.state
    seen = dict(
        iterations=runner.iter, paths=witness.paths, moved=witness.moved,
        stepped=sorted(name for name, parameter in model.named_parameters() if parameter in stepped),
        weights={name: parameter.flatten().tolist() for name, parameter in model.named_parameters()})
    (folder / f'rank{runner.rank}.json').write_text(json.dumps(seen))


def main(folder: Path) -> None:
    train(folder / 'straight')
    with suppress(KeyboardInterrupt):
        train(folder / 'resumed', die_at=1)
        raise AssertionError('it was to end as its second epoch begins')
    torch.distributed.barrier()     # until rank 0 has written the checkpoint
    train(folder / 'resumed')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
