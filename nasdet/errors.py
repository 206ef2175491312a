"""The one exception that a command turns into one sentence and exit status 1, and how a full disk is told."""

import errno
import sqlite3


class SearchError(RuntimeError):
    """What a user can act on: the message says what is wrong, where, and what to do next."""


def is_disk_full(error: BaseException) -> bool:
    """Tell a full disk or quota from the ways in which Python, SQLite and torch report it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, sqlite3.Error):    # the second: there was no room for the index of its write-ahead log
        return str(error) in ('database or disk is full', 'disk I/O error')
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ('No space left', 'PytorchStreamWriter failed'))
