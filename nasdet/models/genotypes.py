"""Genotypes as networks are given them: as plain data, or by the name of a published one."""

from typing import Mapping, Union


def genotype_value(genotype: Union[str, Mapping]) -> Mapping:
    """Return the plain value of a genotype.

    Args:
        genotype: The value itself, or a name of :func:`nasdet.zoo.names`.

    Raises:
        ValueError: The zoo has no such name.
    """
    if not isinstance(genotype, str):
        return genotype
    from nasdet import zoo  # only for a name, so that an exported network needs no zoo
    return zoo.load(genotype).plain()
