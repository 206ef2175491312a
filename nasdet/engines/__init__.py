"""Where the work runs."""

from nasdet.engines.inline import InlineEngine
from nasdet.engines.local import LocalEngine

__all__ = ['InlineEngine', 'LocalEngine']
