"""Necks at equal cost: each gets the width at which neck and head take as many multiply-adds as a reference does."""

from functools import partial
from typing import Mapping

import numpy as np
from mmengine.config import Config, ConfigDict

from benchmarks.equal_cost import Finalist, match
from nasdet.confirm.finalists import Candidate, published
from nasdet.costs.complexity import count
from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.registry import SPACES, build

WIDEST = 8          # times the reference's width


def finalists(config: Config, genotypes: Mapping[str, Genotype], reference: Genotype) -> list[Finalist]:
    """Return every neck at the width that makes it as dear as the reference is at the config's width.

    Args:
        config: Prepared; its search has a space of necks, and a cost that says the input's shape.
        genotypes: By name.
        reference: Need not be among them.

    Raises:
        ValueError: A neck comes no nearer than 2 %.
    """
    width = config.search.space.neck.out_channels
    target = at_width(config, 'reference', reference, width).macs
    return [match(partial(at_width, config, name, genotype), target, WIDEST * width)
            for name, genotype in genotypes.items()]


def at_width(config: Config, name: str, genotype: Genotype, width: int) -> Finalist:
    """Return a neck of some width in the config's detector, whose head reads that width and is otherwise as it was."""
    model = with_neck(config, genotype, width)
    detector, shape = build_on_meta(model), config.search.costs[0].input_shape
    whole, backbone = count(detector, shape), count(detector.backbone, shape)
    return Finalist(Candidate(name, genotype.digest(), model), width, whole['macs'] - backbone['macs'], whole['params'])


def with_neck(config: Config, genotype: Genotype, width: int) -> ConfigDict:
    """Return the config's model with a neck of some width."""
    settings = config.search.space.to_dict()
    settings['neck']['out_channels'] = width
    space = build(SPACES, settings)
    return published(space, genotype, space.sample(np.random.default_rng(0)), config.model)
