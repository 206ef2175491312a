"""nasdet: architecture search for object detectors, on MMDetection's registries.

Importing this package is cheap: components register when the first of their kind is built.
"""

from nasdet.version import __version__

__all__ = ['__version__']
