"""What the children of a supernet of MBConv blocks are chosen from.

Choices are written as a genotype is, with a list of values where a genotype has one: ``resolution`` (or None),
``stem_channels``, ``head_channels``, and of each stage ``channels``, ``depth``, ``kernel`` and ``expansion``.
"""

from itertools import product
from typing import Any, Callable, Iterator, Mapping, Sequence

from nasdet.models.layers.mbconv_genotype import (
    GENES,
    MBCONV_KEYS,
    check_gene,
    check_mbconv_genotype,
    check_positive,
    check_semantics,
    check_stage_keys,
)

ENDS = {'stem.channels': 'stem_channels', 'head.channels': 'head_channels'}


def genes_of(value: Mapping) -> dict[str, Any]:
    """Return the genes of a genotype, or of choices, by name and in the order in which images pass them.

    Args:
        value: A genotype's plain value, or choices.

    Returns:
        ``resolution`` (where there is one), ``stem.channels``, ``stage1.channels``, ``stage1.depth``,
        ``stage1.kernel``, ``stage1.expansion``, ``stage2.channels``, ..., ``head.channels``.
    """
    genes = {} if value['resolution'] is None else dict(resolution=value['resolution'])
    genes['stem.channels'] = value['stem_channels']
    for number, stage in enumerate(value['stages'], start=1):
        genes.update({f'stage{number}.{gene}': stage[gene] for gene in GENES})
    return {**genes, 'head.channels': value['head_channels']}


def with_genes(choices: Mapping, genes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain value of a genotype.

    Args:
        choices: Say all but the genes.
        genes: A value for each name of :func:`genes_of`.
    """
    stages = [{**stage, **{gene: genes[f'stage{number}.{gene}'] for gene in GENES}}
              for number, stage in enumerate(choices['stages'], start=1)]
    return dict(semantics=choices['semantics'], resolution=genes.get('resolution'), stages=stages,
                **{key: genes[name] for name, key in ENDS.items()})


def extreme_child(choices: Mapping, pick: Callable = max) -> dict[str, Any]:
    """Return the genotype that has the largest value of every gene, or with ``pick=min`` the smallest."""
    return with_genes(choices, {name: pick(values) for name, values in genes_of(choices).items()})


def coarse_children(choices: Mapping) -> Iterator[dict[str, Any]]:
    """Yield the genotypes that choose resolution, width, depth, kernel and expansion for the whole network at once.

    A setting of a gene is as far along the list of its values in every stage: all the smallest, all the largest, or in
    between (BigNAS, section 3.3). It has as many settings as the longest of its lists, but widths only the smallest and
    the largest; stages that look the same in two settings come once.

    Args:
        choices: Valid ones.
    """
    options = {name: sorted(values) for name, values in genes_of(choices).items()}
    groups: dict[str, list[str]] = {}
    for name in options:
        groups.setdefault(name.rpartition('.')[2], []).append(name)
    settings = []
    for kind, names in groups.items():
        steps = max(len(options[name]) for name in names)
        shares = (0.0, 1.0) if kind == 'channels' else [step / max(steps - 1, 1) for step in range(steps)]
        found = [{name: options[name][round(share * (len(options[name]) - 1))] for name in names} for share in shares]
        settings.append([one for index, one in enumerate(found) if one not in found[:index]])
    for chosen in product(*settings):
        yield with_genes(choices, {name: value for setting in chosen for name, value in setting.items()})


def check_choices(choices: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping says what children are chosen from."""
    if set(choices) != set(MBCONV_KEYS):
        raise ValueError(f'choices have the keys {", ".join(MBCONV_KEYS)}, not {", ".join(map(str, choices))}')
    check_semantics(choices['semantics'])
    if not isinstance(choices['stages'], (list, tuple)) or not choices['stages']:
        raise ValueError(f'stages is a list of the choices of one or more stages, not {choices["stages"]!r}')
    for number, stage in enumerate(choices['stages'], start=1):
        check_stage_keys(number, stage)
    for name, values in genes_of(choices).items():
        _check_values(name, values)
    for number, stage in enumerate(choices['stages'], start=1):
        for gene in GENES:
            for value in stage[gene]:
                check_gene(number, gene, value)
        if 1 in stage['expansion'] and len(stage['expansion']) > 1:
            raise ValueError(f'stage {number} chooses from the expansions {list(stage["expansion"])}: with 1 its '
                             f'blocks lack a convolution, so it is the only choice or none')


def _check_values(name: str, values: Sequence) -> None:
    if not isinstance(values, (list, tuple)) or not values or len(set(values)) < len(values):
        raise ValueError(f'{name} is chosen from a list of different values, not from {values!r}')
    for value in values:
        check_positive(name, value)


def check_child(choices: Mapping, value: Mapping) -> None:
    """Raise ValueError unless a mapping is the genotype of a child.

    Args:
        choices: Valid ones.
        value: A genotype's plain value.
    """
    check_mbconv_genotype(value)
    if value['semantics'] != choices['semantics']:
        raise ValueError(f'the children have semantics={choices["semantics"]!r}, the genotype {value["semantics"]!r}')
    if len(value['stages']) != len(choices['stages']):
        raise ValueError(f'the children have {len(choices["stages"])} stages, the genotype {len(value["stages"])}')
    for number, (stage, own) in enumerate(zip(value['stages'], choices['stages'], strict=True), start=1):
        for name in ('stride', 'se'):
            if stage[name] != own[name]:
                raise ValueError(f'stage {number} of the children has {name}={own[name]!r}, of the genotype '
                                 f'{stage[name]!r}')
    genes, options = genes_of(value), genes_of(choices)
    if genes.keys() != options.keys():
        raise ValueError(f'the children choose their resolution from {choices["resolution"]}, the genotype has '
                         f'{value["resolution"]}')
    for name, gene in genes.items():
        if gene not in options[name]:
            raise ValueError(f'{name} of the children is one of {list(options[name])}, of the genotype {gene}')
