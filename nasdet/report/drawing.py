"""The pictures of a report as SVG: rewards and costs over evaluations and steps, an architecture."""

import io
from collections import Counter
from typing import Optional, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path
from matplotlib.ticker import EngFormatter, MaxNLocator

from nasdet.spaces.base import Graph

INK, EDGE, FAINT, SEARCHED, CONTROL, FAILED = '#1c2733', '#57606a', '#c9d1d9', '#1f6fb2', '#d9822b', '#b3261e'
KINDS = ('#d7e8f7', '#fbe3c8', '#dcefdc', '#eadff5', '#f8dede', '#e6e6e6')
STYLE = {'font.size': 10, 'text.color': INK, 'axes.labelcolor': INK, 'axes.edgecolor': '#8b949e', 'xtick.color': INK,
         'ytick.color': INK, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
         'grid.color': '#e8ecf0', 'axes.axisbelow': True, 'legend.frameon': False}
VECTOR_POINTS = 2000        # more points than this are drawn as pixels inside the SVG, which would grow to megabytes
WIDE = (8.6, 3.8)                               # inches, as all below
COLUMN, ROW, CHARACTER = 1.3, 0.85, 0.085


@matplotlib.rc_context(STYLE)
def draw_curves(curves: dict[str, Sequence[Optional[float]]], reward: str) -> bytes:
    """Draw every evaluation as a dot and the best so far as a line.

    Args:
        curves: Name to rewards in the order of evaluation; None marks a failed evaluation. The first is the search,
            a second its control.
        reward: Label of the reward's axis.

    Returns:
        SVG.
    """
    axes = _counting_axes('evaluations', reward)
    for (name, rewards), color in zip(curves.items(), (SEARCHED, CONTROL), strict=False):
        _draw_curve(axes, name, rewards, color)
    _legend(axes)
    return _svg(axes)


def _draw_curve(axes, name: str, rewards: Sequence[Optional[float]], color: str) -> None:
    done = [(number, reward) for number, reward in enumerate(rewards, 1) if reward is not None]
    failed = [number for number, reward in enumerate(rewards, 1) if reward is None]
    if done:
        axes.plot(*_columns(done), '.', color=color, alpha=0.35, markersize=5, rasterized=len(done) > VECTOR_POINTS)
        axes.step(*_columns(best_so_far(rewards)), where='post', color=color, linewidth=2, label=f'best so far, {name}')
    if failed:
        axes.plot(failed, [0.01] * len(failed), 'x', color=FAILED, markersize=5, clip_on=False,
                  transform=axes.get_xaxis_transform(), label=f'failed, {name}')


@matplotlib.rc_context(STYLE)
def draw_steps(rewards: Sequence[float], reward: str) -> bytes:
    """Draw the reward of each step of a training that searches.

    Args:
        rewards: In the order of the steps.
        reward: Label of the reward's axis.

    Returns:
        SVG.
    """
    axes = _counting_axes('steps of the training', reward)
    axes.plot(range(1, len(rewards) + 1), rewards, '.-', color=SEARCHED)
    return _svg(axes)


@matplotlib.rc_context(STYLE)
def draw_costs(parts: Sequence[tuple[Sequence[float], float]], cost: str, unit: str) -> bytes:
    """Draw the cost after each step of a training that searches, and the goal of each of its parts.

    Args:
        parts: Of the training, in order: the cost before its first step and after each, and the goal.
        cost: Label of the cost's axis.
        unit: Of the cost.

    Returns:
        SVG.
    """
    axes = _counting_axes('steps of the training', f'{cost}, {unit}')
    first = 0
    for number, (costs, goal) in enumerate(parts):
        last = first + len(costs) - 1
        axes.plot(range(first, last + 1), costs, '.-', color=SEARCHED, label='' if number else cost)
        axes.plot([first, last], [goal, goal], '--', color=FAILED, linewidth=1, label='' if number else 'goal')
        first = last
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(EngFormatter())
    _legend(axes)
    return _svg(axes)


def best_so_far(rewards: Sequence[Optional[float]]) -> list[tuple[int, float]]:
    """Return (number of evaluations made, best reward until then), from the first success on."""
    points, best = [], None
    for number, reward in enumerate(rewards, 1):
        if reward is not None:
            best = reward if best is None else max(best, reward)
        if best is not None:
            points.append((number, best))
    return points


@matplotlib.rc_context(STYLE)
def draw_scatter(points: Sequence[tuple[float, float]], best: int, cost: str, unit: str, reward: str,
                 limit: Optional[float] = None, front: Sequence[int] = ()) -> bytes:
    """Draw the reward of evaluated architectures against a cost.

    Args:
        points: (cost, reward) pairs.
        best: Index of the pair to mark.
        cost: Label of the cost's axis.
        unit: Of the cost.
        reward: Label of the reward's axis.
        limit: Drawn as a line where it lies near the points.
        front: Indices of the pairs on the Pareto front, drawn as a line of steps.

    Returns:
        SVG.
    """
    axes = _axes(f'{cost}, {unit}' if unit else cost, reward)
    if front:
        axes.step(*_columns(sorted(points[index] for index in front)), where='post', color=CONTROL,
                  label='Pareto front')
    axes.scatter(*_columns(points), s=18, color=SEARCHED, alpha=0.5, linewidths=0,
                 rasterized=len(points) > VECTOR_POINTS)
    axes.plot(*points[best], 'o', markersize=11, fillstyle='none', color=INK, label='best reward')
    if limit is not None and limit <= 1.5 * max(value for value, _ in points):
        axes.axvline(limit, color=FAILED, linestyle='--', linewidth=1, label='limit')
    axes.xaxis.set_major_formatter(EngFormatter())
    _legend(axes)
    return _svg(axes)


@matplotlib.rc_context(STYLE)
def draw_graph(graph: Graph) -> bytes:
    """Draw an architecture from left to right.

    Where every node has a column and a row these are its place, with row 0 at the bottom, as pyramids are drawn:
    a row is a level, the coarsest on top. Otherwise a node stands right of all that it reads.

    Args:
        graph: At least one node.

    Returns:
        SVG.
    """
    places = place(graph)
    labels = {node['id']: str(node['label']) for node in graph.nodes}
    width = max(0.6, CHARACTER * max(len(line) for label in labels.values() for line in label.split('\n')) + 0.2)
    step = max(COLUMN, width + 0.55)
    centres = {name: (column * step, row * ROW) for name, (column, row) in places.items()}
    xs, ys = _columns(centres.values())
    left, right, low, high = min(xs) - width / 2, max(xs) + width / 2, min(ys) - 0.75 * ROW, max(ys) + 0.75 * ROW
    axes = Figure(figsize=(right - left + 0.3, high - low)).add_axes((0, 0, 1, 1))
    axes.set(xlim=(left - 0.15, right + 0.15), ylim=(low, high))
    axes.axis('off')
    for y in sorted(set(ys)):
        axes.plot([left, right], [y, y], color=FAINT, linewidth=0.8, linestyle=':', zorder=0)
    for source, target, label in graph.edges:
        _draw_edge(axes, centres, source, target, str(label), width)
    _draw_nodes(axes, graph, centres, labels, width)
    return _svg(axes)


def place(graph: Graph) -> dict:
    """Return node id -> (column, row): its own hint, or the longest path to it and its rank there."""
    if all('column' in node and 'row' in node for node in graph.nodes):
        return {node['id']: (node['column'], node['row']) for node in graph.nodes}
    columns = {node['id']: 0 for node in graph.nodes}
    for _ in graph.nodes:       # as many rounds as a longest path can have edges
        for source, target, _ in graph.edges:
            columns[target] = max(columns[target], columns[source] + 1)
    heights = Counter(columns.values())
    seen: Counter = Counter()
    places = {}
    for name, column in columns.items():
        places[name] = (column, (heights[column] - 1) / 2 - seen[column])
        seen[column] += 1
    return places


def _draw_nodes(axes, graph: Graph, centres: dict, labels: dict, width: float) -> None:
    kinds = dict.fromkeys(node.get('kind', '') for node in graph.nodes)
    colors = {kind: KINDS[index % len(KINDS)] for index, kind in enumerate(kinds)}
    if len(colors) > 1:
        axes.legend([Patch(facecolor=color, edgecolor=EDGE) for color in colors.values()], colors.keys(), ncols=6,
                    loc='upper left', borderaxespad=0.2)
    for node in graph.nodes:
        x, y = centres[node['id']]
        face = colors[node.get('kind', '')]
        axes.add_patch(FancyBboxPatch((x - width / 2 + 0.06, y - 0.16), width - 0.12, 0.32, zorder=3, facecolor=face,
                                      edgecolor=EDGE, boxstyle='round,pad=0.06,rounding_size=0.1'))
        axes.text(x, y, labels[node['id']], ha='center', va='center', zorder=4)


def _draw_edge(axes, centres: dict, source, target, label: str, width: float) -> None:
    (x0, y0), (x1, y1) = centres[source], centres[target]
    if x1 > x0:
        start, end = (x0 + width / 2, y0), (x1 - width / 2, y1)
        reach = max(0.35, 0.45 * (end[0] - start[0]))
        between = any(x0 < x < x1 and y == y0 == y1 for x, y in centres.values())
        bow = 0.62 * ROW if between else 0.0         # around the nodes that stand between the two
        controls = (start[0] + reach, y0 + bow), (end[0] - reach, y1 + bow)
    else:
        up = 0.22 if y1 > y0 else -0.22
        start, end = (x0, y0 + up), (x1, y1 - up)
        controls = (x0, y0 + 2 * up), (x1, y1 - 2 * up)
    curve = Path([start, *controls, end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    axes.add_patch(FancyArrowPatch(path=curve, arrowstyle='-|>', mutation_scale=9, color=EDGE, linewidth=1,
                                   shrinkA=0, shrinkB=0, zorder=1))
    if label:
        x, y = ((a + 3 * b + 3 * c + d) / 8 for a, b, c, d in zip(start, *controls, end, strict=True))
        axes.text(x, y, label, fontsize=7.5, ha='center', va='center', color=EDGE, zorder=2,
                  bbox=dict(facecolor='white', edgecolor='none', pad=0.8, alpha=0.85))


def _counting_axes(xlabel: str, ylabel: str) -> Axes:
    """Return the axes of a new picture over whole numbers."""
    axes = _axes(xlabel, ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def _axes(xlabel: str, ylabel: str) -> Axes:
    return Figure(figsize=WIDE, layout='constrained').add_subplot(xlabel=xlabel, ylabel=ylabel)


def _legend(axes) -> None:
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=2, borderpad=0.2)


def _columns(pairs) -> tuple[list, list]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _svg(axes: Axes) -> bytes:
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format='svg', dpi=144, metadata={'Date': None})
    return buffer.getvalue()
