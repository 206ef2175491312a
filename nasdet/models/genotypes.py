"""Genotypes as networks are given them: as plain data, by the file of a search, or by the name of a published one."""

from pathlib import Path
from typing import Mapping, Union


def genotype_value(genotype: Union[str, Mapping]) -> Mapping:
    """Return the plain value of a genotype.

    Args:
        genotype: The value itself; or the path of a file that a search wrote, ``WORK_DIR/best/genotype.json``; or a
            name of :func:`nasdet.zoo.names`.

    Raises:
        ValueError: There is no such file, or no genotype in it, or the zoo has no such name.
    """
    if not isinstance(genotype, str):
        return genotype
    if genotype.endswith('.json'):
        return _genotype_in(Path(genotype))
    from nasdet import zoo  # only for a name, so that an exported network needs no zoo
    return zoo.load(genotype).plain()


def _genotype_in(path: Path) -> Mapping:
    from nasdet.genotype import Genotype  # only for a file, as above
    if not path.is_file():
        raise ValueError(f'there is no genotype {path.absolute()}: search it first, or correct the path')
    try:
        return Genotype.from_json(path.read_text(encoding='utf-8')).plain()
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
