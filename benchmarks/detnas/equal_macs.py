"""Backbones at equal cost: each gets the width at which it takes as many multiply-adds as the search's limit allows."""

from functools import partial
from typing import Mapping

from mmengine.config import Config

from benchmarks.equal_cost import Finalist, match
from nasdet.confirm.finalists import Candidate
from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.registry import COSTS, SPACES, build

WIDEST = 4          # times the width of the space


def finalists(config: Config, genotypes: Mapping[str, Genotype]) -> list[Finalist]:
    """Return every backbone at the width that makes it as dear as the limit of the search's first cost.

    Args:
        config: Prepared; its search has a space of choice blocks.
        genotypes: By name.

    Raises:
        ValueError: A backbone comes no nearer than 2 %.
    """
    widest = WIDEST * config.search.space.stages[-1]['channels']
    target = limit_of(config)
    return [match(partial(at_width, config, name, genotype), target, widest) for name, genotype in genotypes.items()]


def limit_of(config: Config) -> int:
    """Return the multiply-adds that a backbone may have."""
    cost = config.search.costs[0]
    return build(COSTS, cost, space=build(SPACES, config.search.space), model=config.model).limit


def at_width(config: Config, name: str, genotype: Genotype, width: int) -> Finalist:
    """Return a backbone whose last stage has ``width`` channels, or one more, and whose others are as much wider.

    Every number of channels is rounded to the nearest even one.

    Args:
        config: Prepared.
        name: Of the backbone.
        genotype: Of the config's space.
        width: Channels of the last stage.
    """
    share = width / config.search.space.stages[-1]['channels']
    settings, value = config.search.space.to_dict(), genotype.plain()
    for part in (settings, value):
        part['stem_channels'] = even(part['stem_channels'] * share)
    for stage, own in zip(settings['stages'], value['stages'], strict=True):
        stage['channels'] = own['channels'] = even(stage['channels'] * share)
    model = build(SPACES, settings).apply(Genotype(genotype.space, value), config.model)
    detector = build_on_meta(model)
    macs = count(detector.backbone, config.search.costs[0].input_shape)['macs']
    params = sum(parameter.numel() for parameter in detector.parameters())
    return Finalist(Candidate(name, genotype.digest(), model), width, macs, params)


def even(number: float) -> int:
    """Return the nearest even number, 2 at least."""
    return max(2, 2 * round(number / 2))
