"""What MorphNet's rounds had to come down to, what its result may cost, and how far they came."""

from typing import Any, Mapping, Optional, Sequence, Union

from nasdet.genotype import Genotype
from nasdet.models.channels.targets import build_target
from nasdet.protocol import CostGoal
from nasdet.spaces.base import Space


def shortfall(number: int, widths: Mapping[str, int], seed: Genotype, share: float, goal: float,
              strength: float) -> str:
    """Say so where a round has missed its goal, or has learned nothing; else return nothing.

    Args:
        number: Of the round, from 0.
        widths: Alive at its end, by group.
        seed: What it started from.
        share: What these cost, as a share of the network.
        goal: What share was wanted.
        strength: Of the penalty in the last epoch.
    """
    said, advice = f'MorphNet, round {number + 1}:', 'give it more iterations (epochs, or smaller batches)'
    if all(widths[name] == width for name, width in seed.value['widths'].items()):
        return (f'{said} no channel died, so what comes of it is only its network with all widths multiplied by one '
                f'factor; {advice}, or a larger strength (now {strength:g}) or threshold')
    if share > goal:
        return (f'{said} the goal was missed: the alive channels cost {100 * share:.1f} % of the network, not '
                f'{100 * goal:.1f} %; {advice}, or a larger strength (now {strength:g})')
    return ''


def round_goal(space: Space, number: int, seed: Genotype, epochs: Sequence[Genotype], result: Optional[Mapping],
               shrinking: Mapping) -> CostGoal:
    """Return what a round shrinks its network to, and how far it came.

    Costs are those of the space's network. Where the data have other classes they differ a little from the trained
    one's, so whether the goal was missed is told by the share that the training counted.

    Args:
        space: The WidthSpace.
        number: Of the round, from 0.
        seed: What it starts from.
        epochs: The genotype of each epoch so far, whose widths are rounded to those of the space.
        result: What the round gave, with the widths as they were counted; None while it runs.
        shrinking: The target, the goal, and the penalty's arguments.
    """
    target, goal = shrinking['target'], shrinking['goal']
    start, steps = space.cost(seed, target), [space.cost(genotype, target) for genotype in epochs]
    reached, missed = steps[-1] if steps else None, ''
    if result is not None:
        counted = result['evaluation']['fidelity']
        reached = counted['alive'] * start
        missed = shortfall(number, result['widths'], seed, counted['alive'], goal, counted['strength'])
    return CostGoal(f'round {number + 1}: shrink', **_named(target), start=start, wanted=goal * start, steps=steps,
                    reached=reached, missed=missed)


def result_goal(space: Space, found: Optional[Genotype], budget: float, target: Union[str, Mapping]) -> CostGoal:
    """Return what the result may cost, and does.

    Args:
        space: The WidthSpace.
        found: The result; None before there is one.
        budget: What it may cost, as a share of the space's network.
        target: What is limited.
    """
    whole = space.cost(space.seed(), target)
    reached = None if found is None else space.cost(found, target)
    return CostGoal('result: expand', **_named(target), start=whole, wanted=budget * whole, reached=reached)


def _named(target: Union[str, Mapping]) -> dict[str, Any]:
    return dict(cost=target if isinstance(target, str) else target['type'], unit=build_target(target).unit)
