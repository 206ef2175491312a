"""What a search has done, and the folder in which it stands: the only state of a search."""

from nasdet.history.history import EVALUATED, REFUSED, REUSED, STEP, History, Trial

__all__ = ['EVALUATED', 'REFUSED', 'REUSED', 'STEP', 'History', 'Trial']
