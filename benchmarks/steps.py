"""What the benchmarks of training steps share: networks that make steps, and what two sides' seconds say."""

import time
from typing import Callable, Iterator, Mapping

import numpy as np
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

UNCOUNTED = 2           # first turns, which make buffers and the optimisers' states


class Trained:
    """A network and its optimiser.

    Args:
        cfg: Of the network.
        optimiser: Config of the optimiser's wrapper.
    """

    def __init__(self, cfg: Mapping, optimiser: Mapping):
        self.model = MODELS.build(cfg).train()
        self.model.init_weights()
        self.optimiser = build_optim_wrapper(self.model, optimiser)

    def step(self, batch: Mapping) -> None:
        """Train one step.

        Args:
            batch: Of a loader.
        """
        self.model.train_step(batch, self.optimiser)


def in_turns(one: Callable[[], None], other: Callable[[], None], number: int,
             clock: Callable[[], float] = time.perf_counter) -> Iterator[tuple[float, float]]:
    """Yield what two steps take, ``number`` times, each of them first in every second turn.

    Args:
        one: A step.
        other: What it is compared to.
        number: Of turns that count; ``UNCOUNTED`` come before.
        clock: Gives seconds.
    """
    for turn in range(-UNCOUNTED, number):
        taken = {}
        for step in (one, other) if turn % 2 else (other, one):
            begun = clock()
            step()
            taken[step] = clock() - begun
        if turn >= 0:
            yield taken[one], taken[other]


def report(times: np.ndarray, names: tuple[str, str], most: float, clock: str = '') -> float:
    """Print the medians of two sides and how many times as long the first takes.

    Args:
        times: Seconds of both sides in each of n turns, (n, 2).
        names: Of the sides.
        most: The ratio that is wanted.
        clock: What the seconds are, where they are not those by the clock.

    Returns:
        The median of the ratios.
    """
    ratios = times[:, 0] / times[:, 1]
    low, high = np.percentile(ratios, (25, 75))
    print(f'{names[0]} {np.median(times[:, 0]):.4f} s, {names[1]} {np.median(times[:, 1]):.4f} s (medians of '
          f'{len(times)}{clock and f", {clock}"}); ratio {np.median(ratios):.3f}, quartiles {low:.3f} to {high:.3f} '
          f'(wanted: at most {most})')
    return float(np.median(ratios))
