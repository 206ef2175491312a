"""What a genotype of MBConv blocks has to say, how it is refused where it does not, and the sizes that it gives."""

from typing import Any, Mapping, Optional

from mmdet.models.utils import make_divisible

from nasdet.models.layers.mbconv import SEMANTICS, BlockShape

MBCONV_KEYS = ('semantics', 'resolution', 'stem_channels', 'stages', 'head_channels')
GENES = ('channels', 'depth', 'kernel', 'expansion')    # of a stage, what is searched
STAGE_KEYS = (*GENES, 'stride', 'se')
STEM_STRIDE = 2


def check_mbconv_genotype(genotype: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping describes a network of MBConv blocks.

    Args:
        genotype: Plain value of an ElasticSpace genotype: ``semantics`` of the blocks and the head; ``resolution``, the
            side in pixels that a classifier resizes images to, or None; ``stem_channels``; ``stages``, each with
            ``channels``, ``depth`` (number of blocks), ``kernel`` and ``expansion`` of its blocks, ``stride`` of the
            first one, and ``se``, whether they have squeeze-and-excitation; ``head_channels``, which the linear layer
            of a classifier reads.
    """
    if not isinstance(genotype, Mapping) or set(genotype) != set(MBCONV_KEYS):
        raise ValueError(f'an MBConv genotype has the keys {", ".join(MBCONV_KEYS)}, not {_listing(genotype)}')
    check_semantics(genotype['semantics'])
    if genotype['resolution'] is not None:
        check_positive('resolution', genotype['resolution'])
    for name in ('stem_channels', 'head_channels'):
        check_positive(name, genotype[name])
    stages = genotype['stages']
    if not isinstance(stages, (list, tuple)) or not stages:
        raise ValueError(f'stages is a list of one or more stages, not {_listing(stages)}')
    for number, stage in enumerate(stages, start=1):
        check_stage_keys(number, stage)
        for gene in GENES:
            check_gene(number, gene, stage[gene])


def check_semantics(semantics: Any) -> None:
    """Refuse blocks that are not built here; ValueError."""
    if semantics not in SEMANTICS:
        raise ValueError(f'semantics is one of {", ".join(SEMANTICS)}, not {semantics!r}')


def check_stage_keys(number: int, stage: Any) -> None:
    """Refuse a stage, or the choices of one, with other keys, a stride that there is not, or no word on ``se``."""
    if not isinstance(stage, Mapping) or set(stage) != set(STAGE_KEYS):
        raise ValueError(f'stage {number} has the keys {", ".join(STAGE_KEYS)}, not {_listing(stage)}')
    if type(stage['stride']) is not int or stage['stride'] not in (1, 2):
        raise ValueError(f'the stride of stage {number} is 1 or 2, not {stage["stride"]!r}')
    if not isinstance(stage['se'], bool):
        raise ValueError(f'se of stage {number} is true or false, not {stage["se"]!r}')


def check_gene(number: int, gene: str, value: Any) -> None:
    """Refuse what is no value of a gene of a stage; ValueError."""
    check_positive(f'{gene} of stage {number}', value)
    if gene == 'kernel' and value % 2 == 0:
        raise ValueError(f'the kernel of stage {number} is odd, so that it has a middle, not {value}')


def check_positive(name: str, value: Any) -> None:
    """Refuse what is not a whole number of at least 1; ValueError."""
    if type(value) is not int or value < 1:
        raise ValueError(f'{name} is a whole number, at least 1, not {value!r}')


def block_shapes_of(genotype: Mapping) -> list[list[BlockShape]]:
    """Return the sizes of every block of a genotype, stage by stage."""
    shapes, channels = [], genotype['stem_channels']
    for stage in genotype['stages']:
        shapes.append([])
        for index in range(stage['depth']):
            shapes[-1].append(_block_shape(genotype['semantics'], channels, stage, stage['stride'] if not index else 1))
            channels = stage['channels']
    return shapes


def _block_shape(semantics: str, channels: int, stage: Mapping, stride: int) -> BlockShape:
    expanded = channels if stage['expansion'] == 1 else make_divisible(channels * stage['expansion'], 8)
    squeezed = 0
    if stage['se']:
        squeezed = max(1, channels // 4) if semantics == 'efficientnet' else make_divisible(expanded // 4, 8)
    return BlockShape(channels, expanded, squeezed, stage['channels'], stage['kernel'], stride)


def stage_strides(stages: list[Mapping]) -> list[int]:
    """Return the stride of each stage's map, in pixels of the image."""
    strides = [STEM_STRIDE]
    for stage in stages:
        strides.append(strides[-1] * stage['stride'])
    return strides[1:]


def last_of_each_stride(stages: list[Mapping], finest: int = 1) -> tuple[int, ...]:
    """Return the indices of the stages after which the resolution falls: detectors read their maps.

    Args:
        stages: Of a genotype, or of choices.
        finest: The smallest stride, in pixels.
    """
    strides = stage_strides(stages)
    return tuple(index for index, stride in enumerate(strides)
                 if stride >= finest and strides[index + 1:index + 2] != [stride])


def _listing(given: Optional[Any]) -> str:
    return ', '.join(map(str, given)) or 'none' if isinstance(given, Mapping) else repr(given)
