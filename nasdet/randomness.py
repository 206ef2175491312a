"""Random numbers of a search: each use of its seed has a stream of its own, so that no two draw the same numbers."""

import numpy as np

# 0 is the search itself: NumPy fills a short seed up with zeros, so (seed, number, 0) is (seed, number).
SEARCH, LIMITS, PATHS, CONTROL, VALIDATION = range(5)


def generator(seed: int, number: int, use: int) -> np.random.Generator:
    """Return the source of chance of one trial or iteration.

    Args:
        seed: Of the search, or of what is trained for it.
        number: Of the trial or iteration.
        use: ``SEARCH`` (a searcher's proposals), ``LIMITS`` (samples that try cost limits) or ``PATHS`` (paths that a
            supernet is trained on).
    """
    return np.random.default_rng((seed, number, use))


def validation_seed(seed: int) -> int:
    """Return the seed of the order of search-val in a training that learns from it too.

    With the training's own seed two splits of one size would be in the same order, and the same pictures always meet.
    """
    return int(np.random.SeedSequence((seed, 0, VALIDATION)).generate_state(1)[0])


def control_seed(seed: int) -> int:
    """Return the seed of a search's random control, which must not propose what the search proposes."""
    return int(np.random.SeedSequence((seed, 0, CONTROL)).generate_state(1)[0])
