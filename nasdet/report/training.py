"""The sections of a report that only a search within one training has."""

from html import escape
from typing import Mapping, Sequence

from nasdet.history.record import Record
from nasdet.protocol import CostGoal
from nasdet.report.parts import ONE_SEED, image, quantity


def steps_section(pictures: Mapping[str, bytes]) -> str:
    """Return the reward of each step as HTML, or nothing where it is not drawn."""
    if 'steps' not in pictures:
        return ''
    return (f'<h2>Reward along the training</h2>\n{image(pictures["steps"], "reward of each step")}'
            f'<p class="note">Scored with the weights in training; it says nothing of a network trained alone.</p>\n')


def goals_section(goals: Sequence[CostGoal], pictures: Mapping[str, bytes]) -> str:
    """Return as HTML what the training had to come down to and how far it came, or nothing where it limits nothing."""
    if not goals:
        return ''
    rows = ''.join(_row(goal) for goal in goals)
    missed = ''.join(f'<p>{escape(goal.missed)}.</p>\n' for goal in goals if goal.missed)
    picture = image(pictures['goals'], 'cost after each step') if 'goals' in pictures else ''
    return (f'<h2>What the training limits: {escape(goals[0].cost)}</h2>\n{missed}<div class="wide"><table>'
            f'<tr><th class="text">part</th><th>at its start</th><th>wanted, at most</th><th>reached</th></tr>{rows}'
            f'</table></div>\n{picture}')


def _row(goal: CostGoal) -> str:
    shares = [f'{quantity(value, goal.unit)} ({100 * value / goal.start:.1f} %)' if value is not None else 'nothing yet'
              for value in (goal.wanted, goal.reached)]
    cells = ''.join(f'<td>{escape(cell)}</td>' for cell in (quantity(goal.start, goal.unit), *shares))
    return f'<tr><td class="text">{escape(goal.part)}</td>{cells}</tr>'


def compare_alone(alone: Record, control: Record) -> str:
    """Say how what a trainer found stands to its control, both trained alone, and what that is worth."""
    if not alone.ranking or not control.ranking:
        return 'The control cannot be compared yet: one side has no successful evaluation.'
    ours, theirs = alone.ranking[0].result.reward, control.ranking[0].result.reward
    made = len(control.evaluated)
    its = f'the best of {made} of the control' if made > 1 else 'the control'
    return (f'Trained alone in the same way, what was found has the reward {ours:.4f}, {its} {theirs:.4f}, a '
            f'difference of {ours - theirs:+.4f}. {ONE_SEED}')
