"""The one exception that a command turns into one sentence and exit status 1."""


class SearchError(RuntimeError):
    """What a user can act on: the message says what is wrong, where, and what to do next."""
