"""A search's folder: where things lie, who holds it, and which search it belongs to."""

import fcntl
import json
import os
import socket
from pathlib import Path

from nasdet.errors import SearchError

DIFFERENCES_SHOWN = 10


class WorkDir:
    """The folder of one search, held by one process at a time: until :meth:`release`, or within ``with``.

    Args:
        path: Made where absent.
    """

    def __init__(self, path):
        self.path = Path(path).resolve()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise SearchError(f'cannot make the work dir {self.path}: {error.strerror}') from error
        self.config = self.path / 'config.py'
        self.history = self.path / 'history.sqlite'
        self.log = self.path / 'search.log'
        self.best = self.path / 'best'
        self.control = self.path / 'control'
        self.alone = self.path / 'alone'        # what a trainer found, trained alone
        self._lock = None

    @classmethod
    def existing(cls, path) -> 'WorkDir':
        """Return the work dir of a search that has begun; SearchError where there is none."""
        if not (Path(path) / 'history.sqlite').exists():
            raise SearchError(f'{path} is not the work dir of a search: it has no history.sqlite')
        return cls(path)

    def trial(self, number: int, attempt: int = 1) -> Path:
        """Return the folder of a trial's attempt."""
        folder = self.path / 'trials' / f'{number:06d}'
        return folder if attempt == 1 else folder / f'attempt-{attempt}'

    def acquire(self) -> None:
        """Hold the folder until this process ends, whatever becomes of processes forked from it.

        Raises:
            SearchError: Another process holds it; the message names its pid and host.
        """
        lock = open(self.path / 'lock', 'a+')       # noqa: SIM115 - held as long as the process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or 'an unknown process'
            lock.close()
            raise SearchError(f'{self.path} is in use by {holder}: wait for it, stop it, '
                              f'or choose another --work-dir') from error
        lock.truncate(0)
        lock.write(f'pid {os.getpid()} on {socket.gethostname()}')
        lock.flush()
        self._lock = lock
        # A forked process, such as a data loader's worker, would hold the folder on when this one has been killed.
        os.register_at_fork(after_in_child=lock.close)

    def release(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> 'WorkDir':
        self.acquire()
        return self

    def __exit__(self, *error) -> None:
        self.release()


def check_identity(stored: dict, given: dict, path: Path) -> None:
    """Refuse to go on in a folder that belongs to another search.

    Raises:
        SearchError: With the differences, ten at most.
    """
    before, now = _flat(json.loads(json.dumps(stored))), _flat(json.loads(json.dumps(given)))
    differences = [f'  {name}: {before.get(name, "(absent)")} there, {now.get(name, "(absent)")} here'
                   for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if differences:
        shown = differences[:DIFFERENCES_SHOWN]
        rest = len(differences) - len(shown)
        more = [f'  and {rest} more'] if rest else []
        raise SearchError('\n'.join([f'{path} belongs to another search: choose another --work-dir, or undo:',
                                     *shown, *more]))


def _flat(data, prefix: str = '') -> dict:
    if isinstance(data, dict) and data:
        pairs = data.items()
    elif isinstance(data, list) and data:
        pairs = enumerate(data)
    else:
        return {prefix.rstrip('.'): repr(data)}
    return {name: value for key, item in pairs for name, value in _flat(item, f'{prefix}{key}.').items()}
