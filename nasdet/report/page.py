"""The HTML of a report: one page that needs no other file and no script."""

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Mapping, Optional

from mmengine.config import Config
from scipy import stats

from nasdet.history.record import Record
from nasdet.objective import Objective
from nasdet.report.parts import ONE_SEED, duration, image, quantity
from nasdet.report.training import compare_alone, goals_section, steps_section
from nasdet.version import __version__

TOP = 20
FAILURES_SHOWN = 50
ERROR_LINES = 15
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.note { color: #57606a; font-size: .9rem; } .wide { overflow-x: auto; }
img { max-width: 100%; } .wide img { max-width: none; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e8ecf0; white-space: nowrap; }
th { color: #57606a; font-weight: 600; } th.text, td.text { text-align: left; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.facts li { background: #f3f6f9; border-radius: .5rem; padding: .5rem .9rem; }
.facts b { display: block; font-size: 1.3rem; }
pre { background: #f3f6f9; border-radius: .5rem; padding: .8rem; overflow-x: auto; font-size: .8rem; }
summary { cursor: pointer; } code { font-size: .9em; }
"""


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Args:
        folder: Of the search.
        config: Prepared.
        record: Of the search.
        control: Of the random search at equal cost, where it has begun.
        alone: Of what a trainer found, trained alone as its control is, where it has begun.
        costs: Built, for their units and limits.
        goals: What a trainer had to come down to in cost, and how far it came.
        graph: Of the best architecture, where there is one and the space draws.
        confirmation: The table and sentence of ``nasdet confirm`` in Markdown, where it has run.
    """

    folder: Path
    config: Config
    record: Record
    control: Optional[Record]
    alone: Optional[Record]
    costs: list
    goals: list
    graph: object
    confirmation: str

    @property
    def reward_name(self) -> str:
        """What the reward is and on which data, such as 'coco/bbox_mAP (0 to 1) on search-val'."""
        name, goal = next(iter(Objective.from_cfg(self.config.search).goals.items()))
        unit = ' (0 to 1)' if name.startswith(('coco/', 'accuracy/')) else ''
        scope = ' on search-val' if 'val_dataloader' in self.config else ''
        return f'{"" if goal == "max" else "minus "}{name}{unit}{scope}'


def render(report: Report, pictures: dict[str, bytes]) -> str:
    """Return the page.

    Args:
        report: What it shows.
        pictures: SVG by name, as ``nasdet.report.draw`` returns it.
    """
    parts = [_head(report), _counts(report.record), _best(report), goals_section(report.goals, pictures),
             steps_section(pictures), _curve(report, pictures), _scatter(report, pictures),
             _architecture(report, pictures), _predictions(report.record), _confirmation(report), _top(report),
             _failures(report)]
    title = escape(f'nasdet: {_subject(report)}')
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
            f'<body>\n{"".join(part for part in parts if part)}</body></html>\n')


def _subject(report: Report) -> str:
    search = report.config.search
    model = report.config.get('model')
    return f'{search.space.type}{f" on {model.type}" if model else ""}, searched by {_method(search)}'


def _method(search: Mapping) -> str:
    return search.get('searcher', search.get('trainer')).type


def _head(report: Report) -> str:
    search = report.config.search
    estimator = search.estimator.type if 'estimator' in search else 'the weights trained in the search'
    facts = [f'reward: {report.reward_name}', f'estimator: {estimator}', f'seed {search.get("seed", 0)}']
    for cost in report.costs:
        limit = f', limit {quantity(cost.limit, cost.unit)}' if cost.limit is not None else ''
        facts.append(f'cost: {cost.name}{limit}')
    now = time.strftime('%Y-%m-%d %H:%M:%S %Z')
    return (f'<h1>{escape(_subject(report))}</h1>\n<p>{escape("; ".join(facts))}.</p>\n'
            f'<p class="note">{escape(str(report.folder))}, as of {now}; nasdet {__version__}.</p>\n')


def _counts(record: Record) -> str:
    counts = [('evaluated', record.evaluated), ('of them failed', record.failed), ('reused', record.reused),
              ('refused by a cost', record.refused), ('without a result yet', record.open)]
    if record.steps:
        counts.insert(0, ('steps of the training', record.steps))
    items = [f'<li><b>{len(trials)}</b>{name}</li>' for name, trials in counts]
    items.append(f'<li><b>{record.lost}</b>lost attempts</li>')
    if record.interrupted:
        items.append(f'<li><b>{record.interrupted}</b>attempts cut off with the search</li>')
    items.append(f'<li><b>{duration(sum(record.seconds.values()))}</b>evaluation time, all attempts</li>')
    return f'<ul class="facts">{"".join(items)}</ul>\n'


def _best(report: Report) -> str:
    ranking = report.record.ranking
    if not ranking:
        return '<h2>Best so far</h2>\n<p>No evaluation has succeeded yet.</p>\n'
    best = ranking[0]
    costs = ''.join(f'; {cost.name} {quantity(best.result.costs[cost.name], cost.unit)}' for cost in report.costs)
    genotype = escape(best.proposal.genotype.to_json())
    bias = (f'It is the best of {len(ranking)} architectures looked at on the same data, one evaluation each, so its '
            f'reward is likely too high' if len(ranking) > 1 else 'It is the only architecture evaluated')
    return (f'<h2>Best so far</h2>\n<p><b>{_reward(best)}</b> {escape(report.reward_name)}: trial {best.trial}, key '
            f'<code>{best.key}</code>{escape(costs)}. {bias}; <code>nasdet confirm</code> measures it on the test '
            f'split.</p>\n<details><summary>genotype</summary><pre>{genotype}</pre></details>\n')


def _curve(report: Report, pictures: dict) -> str:
    picture = image(pictures['best_so_far'], 'best reward so far') if 'best_so_far' in pictures else ''
    sentence = ''
    if report.control is not None:
        sentence = compare_alone(report.alone, report.control) if report.alone is not None else compare(
            report.record, report.control)
        sentence = f'<p>{escape(sentence)}</p>\n'
    if not picture and not sentence:
        return ''
    return f'<h2>{"Reward over evaluations" if picture else "Beside the control"}</h2>\n{picture}{sentence}'


def compare(record: Record, control: Record) -> str:
    """Say how the search stands to its random control after equally many evaluations, and what that is worth."""
    made = min(len(record.evaluated), len(control.evaluated))
    ours, theirs = ([reward for reward in side.rewards[:made] if reward is not None] for side in (record, control))
    if not ours or not theirs:
        return 'The random control cannot be compared yet: one side has no successful evaluation.'
    difference = max(ours) - max(theirs)
    return (f'After {made} evaluations each, the best reward is {max(ours):.4f} in the search and {max(theirs):.4f} in '
            f'the random control, a difference of {difference:+.4f}. {ONE_SEED}')


def _scatter(report: Report, pictures: dict) -> str:
    if 'reward_cost' not in pictures:
        return ''
    cost = report.costs[0]
    return (f'<h2>Reward and cost</h2>\n{image(pictures["reward_cost"], "reward against cost")}'
            f'<p class="note">Each dot is one architecture; {escape(cost.name)} in '
            f'{escape(cost.unit or "its own unit")}. The line is the Pareto front, what no other architecture beats in '
            f'both; <code>nasdet export --front</code> lists the front of all costs.</p>\n')


def _architecture(report: Report, pictures: dict) -> str:
    if 'architecture' not in pictures:
        return ''
    drawn = image(pictures['architecture'], 'the best architecture')
    return f'<h2>The best architecture</h2>\n<div class="wide">{drawn}</div>\n'


def _predictions(record: Record) -> str:
    if not record.predictions:
        return ''
    rows = [f'<tr><td>{level}</td><td>{len(pairs)}</td><td>{_rank_correlation(pairs)}</td></tr>'
            for level, pairs in record.predictions.items()]
    return (f'<h2>Predictions</h2>\n<table><tr><th>level</th><th>architectures</th><th>rank correlation</th></tr>'
            f'{"".join(rows)}</table>\n<p class="note">Spearman, of predicted and measured reward; only what was '
            f'predicted to be the best of its level was measured.</p>\n')


def _rank_correlation(pairs: list[tuple[float, float]]) -> str:
    predicted, measured = zip(*pairs, strict=True)
    if len(pairs) < 3 or len(set(predicted)) == 1 or len(set(measured)) == 1:
        return 'undefined'
    return f'{stats.spearmanr(predicted, measured).statistic:.2f}'


def _confirmation(report: Report) -> str:
    if not report.confirmation:
        return ''
    lines = [line for line in report.confirmation.splitlines() if line and not line.startswith('#')]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('| ')]
    rows = [row for row in rows if not set(''.join(row)) <= {'-'}]
    cells = ''.join(f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows)
    words = ''.join(f'<p>{escape(line)}</p>\n' for line in lines if not line.startswith('|'))
    return f'<h2>Confirmation on the test split</h2>\n<div class="wide"><table>{cells}</table></div>\n{words}'


def _top(report: Report) -> str:
    ranking, record = report.record.ranking, report.record
    if not ranking:
        return ''
    heads = ['trial', 'reward', *(cost.name for cost in report.costs), 'seconds']
    rows = [f'<tr>{"".join(f"<th>{escape(head)}</th>" for head in heads)}<th class="text">source</th>'
            f'<th class="text">key</th></tr>']
    for trial in ranking[:TOP]:
        again = sum(other.key == trial.key for other in record.reused)
        cells = [str(trial.trial), _reward(trial),
                 *(quantity(trial.result.costs[cost.name], cost.unit) for cost in report.costs),
                 f'{record.seconds.get(trial.trial, 0.0):.3g}']
        source = f'{trial.source}, then {again} x reused' if again else trial.source
        rows.append(f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}<td class="text">{source}</td>'
                    f'<td class="text"><code>{trial.key}</code></td></tr>')
    many = f'The best {min(TOP, len(ranking))} of {len(ranking)} architectures'
    return (f'<h2>{many if len(ranking) > 1 else "The architecture"}</h2>\n'
            f'<div class="wide"><table>{"".join(rows)}</table></div>\n'
            f'<p class="note">Reward: {escape(report.reward_name)}. Seconds: wall time of the evaluation, all its '
            f'attempts together.</p>\n')


def _failures(report: Report) -> str:
    failed = report.record.failed
    if not failed:
        return ''
    items = []
    for trial in failed[:FAILURES_SHOWN]:
        lines = trial.result.error.strip().splitlines() or ['no message']
        items.append(f'<details><summary>trial {trial.trial}: {escape(lines[-1])}</summary>'
                     f'<pre>{escape(chr(10).join(lines[-ERROR_LINES:]))}</pre></details>\n')
    shown = f', the first {FAILURES_SHOWN}' if len(failed) > FAILURES_SHOWN else ''
    return (f'<h2>Failures</h2>\n<p>{len(failed)} of {len(report.record.evaluated)} evaluations failed{shown}; whole '
            f'logs lie in {escape(str(report.folder / "trials"))}.</p>\n{"".join(items)}')


def _reward(trial) -> str:
    reward = trial.result.reward
    values = reward if isinstance(reward, tuple) else (reward,)
    return ', '.join(f'{value:.4f}' for value in values)
