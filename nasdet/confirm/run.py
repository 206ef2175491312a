"""One run of a confirmation in a process of its own: train a config from scratch, measure it once on its test split."""

import argparse
import signal
import sys
from pathlib import Path

from mmengine.config import Config

from nasdet.datasets.coco import write_json
from nasdet.engines.process import die_with_parent
from nasdet.training.checkpoints import save_trained
from nasdet.training.runner import build_runner

RESULT = 'result.json'


def train_and_test(folder: Path, epochs: int, seed: int) -> dict:
    """Train ``FOLDER/config.py``, going on from its last checkpoint, and leave ``weights.pth`` and ``result.json``.

    Args:
        folder: Of this run.
        epochs: To train; the schedule is carried over from those of the config.
        seed: Of the training.

    Returns:
        The metrics on the test split.
    """
    config = Config.fromfile(str(folder / 'config.py'))
    config.val_dataloader, config.val_evaluator = config.test_dataloader, config.test_evaluator
    runner = build_runner(config, config.model, folder, epochs, seed, checkpoints=True, num_workers=None)
    runner.train()
    metrics = {name: float(value) for name, value in runner.val_loop.run().items()}
    save_trained(folder / 'weights.pth', runner)
    write_json(folder / RESULT, dict(epochs=epochs, seed=seed, metrics=metrics))
    for checkpoint in folder.glob('epoch_*.pth'):
        checkpoint.unlink()
    return metrics


def main() -> int:
    """Run ``python -m nasdet.confirm.run FOLDER --epochs N --seed S --parent PID``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--epochs', type=int, required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--parent', type=int, required=True, help='process id; this process ends with it')
    args = parser.parse_args()
    if sys.platform.startswith('linux'):
        die_with_parent(args.parent, signal.SIGKILL)
    print(train_and_test(args.folder, args.epochs, args.seed))
    return 0


if __name__ == '__main__':
    sys.exit(main())
