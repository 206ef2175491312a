"""One progress bar with the remaining time for a training."""

import sys
import time
from typing import Optional, TextIO

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressHook(Hook):
    """Shows how far a training is: a bar on a terminal, elsewhere a line now and then.

    Args:
        title: What is being trained.
        seconds: Between two lines where the output is no terminal.
        file: Where to; None: the standard output.
    """

    priority = 'VERY_LOW'

    def __init__(self, title: str, seconds: float = 10.0, file: Optional[TextIO] = None):
        self.title = title
        self.seconds = seconds
        self.file = file or sys.stdout
        self.bar: Optional[Progress] = None
        self.shown = self.started = 0.0
        self.first = 0

    def before_train(self, runner) -> None:
        """Start counting, from where a resumed training stands."""
        self.started = self.shown = time.monotonic()
        self.first = runner.iter
        if not is_main_process() or not self.file.isatty():
            return
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn('ETA'), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(file=self.file))
        self.task = self.bar.add_task(self.title, total=runner.max_iters, completed=runner.iter)
        self.bar.start()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Show the iteration."""
        if self.bar is not None:
            self.bar.update(self.task, completed=runner.iter + 1)
        elif is_main_process() and time.monotonic() - self.shown >= self.seconds:
            self.shown = time.monotonic()
            print(self.line(runner.iter + 1, runner.max_iters), file=self.file, flush=True)

    def line(self, done: int, total: int) -> str:
        """Return the line of an output that is no terminal."""
        left = (time.monotonic() - self.started) / max(done - self.first, 1) * (total - done)
        return f'{self.title}: iteration {done} of {total}, {left:.0f} s left'

    def close(self) -> None:
        """Take the bar away, also after a training that failed."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
