"""What a history says, as one HTML page; also of a search that runs still, was killed, or has no trial yet."""

from pathlib import Path
from typing import Optional

from nasdet.files import write_whole
from nasdet.history.existing import ExistingSearch
from nasdet.history.record import Record, first_objective, read_record
from nasdet.report.drawing import draw_costs, draw_curves, draw_graph, draw_scatter, draw_steps
from nasdet.report.page import Report, render


def read_report(work_dir: Path) -> Report:
    """Gather what the page shows.

    Args:
        work_dir: Of a search that has begun.

    Raises:
        SearchError: No search has begun there, or its config cannot be read here.
    """
    search = ExistingSearch(work_dir)
    folder, space = search.folder, search.space
    record = read_record(folder.history)
    control, alone = (_read(path) for path in (folder.control, folder.alone))
    ranking = record.ranking
    graph = space.graph(ranking[0].proposal.genotype) if ranking and space.can('graph') else None
    trainer = search.trainer()
    goals = trainer.cost_goals([trial.proposal.genotype for trial in record.steps]) if trainer is not None else []
    confirmation = folder.path / 'confirm' / 'README.md'
    return Report(folder.path, search.config, record, control, alone, search.costs(), goals, graph,
                  confirmation.read_text() if confirmation.exists() else '')


def _read(folder: Path) -> Optional[Record]:
    path = folder / 'history.sqlite'
    return read_record(path) if path.exists() else None


def draw(report: Report) -> dict[str, bytes]:
    """Return the SVG pictures that a history allows: steps, goals, best_so_far, reward_cost, architecture.

    A picture that would hold a single point of each side is left out: it says no more than the text.
    """
    record, pictures = report.record, {}
    ranking, curves = record.ranking, _curves(report)
    if len(record.steps) > 1:
        pictures['steps'] = draw_steps([trial.result.reward for trial in record.steps], report.reward_name)
    shrunk = [((goal.start, *goal.steps), goal.wanted) for goal in report.goals if goal.steps]
    if shrunk:
        pictures['goals'] = draw_costs(shrunk, report.goals[0].cost, report.goals[0].unit)
    if any(len(rewards) > 1 for rewards in curves.values()):
        pictures['best_so_far'] = draw_curves(curves, report.reward_name)
    if len(ranking) > 1 and report.costs:
        cost = report.costs[0]
        points = [(trial.result.costs[cost.name], first_objective(trial)) for trial in ranking]
        front = [ranking.index(trial) for trial in record.front([cost.name])]
        pictures['reward_cost'] = draw_scatter(points, 0, cost.name, cost.unit, report.reward_name, cost.limit, front)
    if report.graph is not None and report.graph.nodes:
        pictures['architecture'] = draw_graph(report.graph)
    return pictures


def _curves(report: Report) -> dict[str, list[Optional[float]]]:
    """Return the rewards of the search and of its control, in the order of evaluation."""
    curves = {'search': report.record.rewards} if report.alone is None else {'found': report.alone.rewards}
    if report.control is not None and report.control.evaluated:
        curves['random control' if report.alone is None else 'control'] = report.control.rewards
    return curves


def write_report(work_dir: Path) -> Path:
    """Write ``WORK_DIR/report.html``, and its pictures as ``WORK_DIR/pictures/*.svg`` too.

    Args:
        work_dir: Of a search that has begun.

    Returns:
        Path of the page, which holds its pictures and needs no other file.

    Raises:
        SearchError: No search has begun there, or its config cannot be read here.
    """
    report = read_report(work_dir)
    pictures = draw(report)
    folder = report.folder / 'pictures'
    folder.mkdir(exist_ok=True)
    for name, svg in pictures.items():
        write_whole(folder / f'{name}.svg', svg)
    for path in folder.glob('*.svg'):
        if path.stem not in pictures:       # of an earlier report
            path.unlink(missing_ok=True)
    path = report.folder / 'report.html'
    write_whole(path, render(report, pictures).encode())
    return path


def main(args) -> int:
    """Run ``nasdet report WORK_DIR``."""
    print(write_report(Path(args.work_dir)))
    return 0
