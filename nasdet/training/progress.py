"""A training with one progress bar, which shows the remaining time."""

from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from nasdet.console import Bar
from nasdet.errors import SearchError
from nasdet.training.runner import TrainingRunner


def train_shown(runner: TrainingRunner, title: str) -> None:
    """Train to the end with a progress bar; then bar and log are closed.

    Args:
        runner: Not trained yet.
        title: What is being trained.

    Raises:
        SearchError: The loss became no number.
    """
    progress = ProgressHook(title)
    runner.register_hook(progress)
    try:
        runner.train()
    except FloatingPointError as error:
        raise SearchError(f'the training in {runner.work_dir} failed: {error}') from error
    finally:
        progress.close()
        runner.close()


class ProgressHook(Hook):
    """Shows how far a training is, with its loss; a resumed one goes on where it stood.

    Args:
        title: What is being trained.
    """

    priority = 'VERY_LOW'

    def __init__(self, title: str):
        self.title = title
        self.bar: Optional[Bar] = None

    def before_train(self, runner) -> None:
        """Show the bar, on the first rank."""
        if is_main_process():
            self.bar = Bar(self.title, runner.max_iters, runner.iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Show the iteration."""
        if self.bar is not None:
            self.bar.update(runner.iter + 1, f'loss {outputs["loss"].item():.3f}')

    def close(self) -> None:
        """Leave the bar standing, also after a training that failed."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
