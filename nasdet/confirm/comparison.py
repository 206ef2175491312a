"""What figures of several seeds say: means with intervals, differences paired by seed, and a plain sentence."""

import math
from dataclasses import dataclass
from typing import Mapping, Optional

import numpy as np
from scipy import stats

LEVEL = 0.95
HEADS = ('architecture', 'seeds', 'mean', '95 % interval', 'difference', '95 % interval', 'p')


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % t-interval.

    Args:
        mean: Of the values.
        half: Half of the interval's width; None where fewer than two values leave it unknown.
        count: Number of the values.
    """

    mean: float
    half: Optional[float]
    count: int

    def __str__(self) -> str:
        return 'unknown' if self.half is None else f'{self.mean - self.half:.4f} to {self.mean + self.half:.4f}'


@dataclass(frozen=True)
class Comparison:
    """One architecture, and how it stands to the baseline.

    Args:
        name: Of the architecture.
        figure: Over its seeds.
        difference: To the baseline, over the seeds that both have; None for the baseline, or where there is none.
        p: Of the paired t-test, two-sided; None where the differences do not vary or fewer than two are there.
    """

    name: str
    figure: Interval
    difference: Optional[Interval] = None
    p: Optional[float] = None


def interval(values) -> Interval:
    """Return the mean of at least one value with its 95 % interval after Student's t."""
    values = np.asarray(values, float)
    half = None
    if values.size > 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size))
    return Interval(float(values.mean()), half, values.size)


def compare(figures: Mapping[str, Mapping[int, float]], baseline: str) -> list[Comparison]:
    """Compare every architecture with a baseline, paired by seed.

    Args:
        figures: Name -> seed -> figure.
        baseline: One of the names.
    """
    return [_compare(name, of_seed, {} if name == baseline else figures[baseline]) for name, of_seed in figures.items()]


def _compare(name: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Comparison:
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not differences:
        return Comparison(name, interval(list(ours.values())))
    varied = len(differences) > 1 and np.ptp(differences) > 0
    p = float(stats.ttest_1samp(differences, 0.0).pvalue) if varied else None
    return Comparison(name, interval(list(ours.values())), interval(differences), p)


def sentence(found: Comparison, baseline: str, metric: str, what: str = 'the best of the search by its reward') -> str:
    """Say in words how an architecture that a search found stands to the baseline.

    Args:
        found: Of the architecture.
        baseline: Name of the baseline.
        metric: Name of the figure.
        what: What the architecture is.
    """
    difference = found.difference
    if difference is None:
        return f'{found.name} and {baseline} share no seed yet: no evidence either way.'
    start = (f'{found.name}, {what}, has a mean {metric} of {found.figure.mean:.4f} on '
             f'the test split, {difference.mean:+.4f} against {baseline}, paired over {difference.count} seed'
             f'{"s" if difference.count > 1 else ""}')
    if found.p is None:
        why = 'one seed allows no test' if difference.count == 1 else 'the differences do not vary, so there is no test'
        return f'{start}: no evidence either way, since {why}.'
    facts = f'{start} (95 % interval {difference}, p = {found.p:.3g})'
    if found.p >= 1 - LEVEL:
        return f'{facts}: no evidence of a difference.'
    return f'{facts}: evidence that it is {"better" if difference.mean > 0 else "worse"}.'


def table(comparisons: list[Comparison]) -> str:
    """Return the comparisons as a Markdown table with aligned columns."""
    rows = [HEADS, *(_cells(comparison) for comparison in comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = [' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, ' | '.join('-' * width for width in widths))
    return '\n'.join(f'| {line} |' for line in lines)


def _cells(comparison: Comparison) -> tuple[str, ...]:
    figure, difference = comparison.figure, comparison.difference
    cells = (comparison.name, str(figure.count), f'{figure.mean:.4f}', str(figure))
    if difference is None:
        return *cells, '', '', ''
    p = 'no test' if comparison.p is None else f'{comparison.p:.3g}'
    return *cells, f'{difference.mean:+.4f}', str(difference), p
