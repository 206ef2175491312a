"""What a population is made of."""

from typing import NamedTuple, Sequence

from nasdet.genotype import Genotype


class Individual(NamedTuple):
    """A member of a population: a genotype with the reward of its trial."""

    trial: int
    genotype: Genotype
    reward: float


def rank(individual: Individual) -> tuple[float, int]:
    """Return what sorts individuals, best first: by reward; of equal ones the earlier trial is better."""
    return -individual.reward, individual.trial


def to_json(individuals: Sequence[Individual]) -> list:
    """Return individuals as JSON data."""
    return [[trial, genotype.to_json(), reward] for trial, genotype, reward in individuals]


def from_json(data: list) -> list[Individual]:
    """Read what :func:`to_json` wrote."""
    return [Individual(trial, Genotype.from_json(genotype), reward) for trial, genotype, reward in data]
