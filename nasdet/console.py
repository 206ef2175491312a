"""What a person sees while something long runs: one bar with an ETA, or a line now and then."""

import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Bar:
    """A progress bar on a terminal; elsewhere a line every ten seconds.

    Args:
        title: What runs.
        total: How many steps it has.
        done: Steps that an earlier run has done already.
    """

    def __init__(self, title: str, total: int, done: int = 0):
        self.title, self.total, self.done = title, total, done
        self._started, self._first, self._shown = time.monotonic(), done, 0.0
        self._progress = None
        if sys.stderr.isatty():
            from rich.console import Console
            columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                       TextColumn('ETA'), TimeRemainingColumn(), TextColumn('{task.fields[note]}'))
            self._progress = Progress(*columns, console=Console(stderr=True))
            self._progress.start()
            self._task = self._progress.add_task(title, total=total, completed=done, note='')

    def update(self, done: int, note: str = '') -> None:
        """Show that ``done`` steps are done, and a note such as the best score."""
        self.done = done
        if self._progress is not None:
            self._progress.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if done >= self.total or now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            print(f'{self.title}: {done}/{self.total}, ETA {self._eta(now)}  {note}', file=sys.stderr, flush=True)

    def _eta(self, now: float) -> str:
        fresh = self.done - self._first
        if fresh <= 0 < self.total - self.done:
            return 'unknown yet'
        seconds = round((now - self._started) / max(fresh, 1) * max(self.total - self.done, 0))
        return f'{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}'

    def close(self) -> None:
        """Leave the last state standing."""
        if self._progress is not None:
            self._progress.stop()

    def __enter__(self) -> 'Bar':
        return self

    def __exit__(self, *exception) -> None:
        self.close()
