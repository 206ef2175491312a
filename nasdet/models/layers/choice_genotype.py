"""What a genotype of choice blocks has to say, and how it is refused where it does not."""

from typing import Any, Mapping, Sequence

from nasdet.models.layers.choice_blocks import KERNELS, SHUFFLES

CHOICE_KEYS = ('semantics', 'shuffle', 'input', 'stem_channels', 'stages', 'head_channels')
SEMANTICS = ('megvii',)
CHANNEL_ORDERS = ('bgr', 'rgb')
FROM_DETECTOR = 'detector'      # an input that is normalised as the detector's own config says


def check_choice_genotype(genotype: Mapping) -> None:
    """Raise ValueError, naming what is wrong, unless a mapping describes a network of choice blocks.

    Args:
        genotype: Plain value of a ChoiceBlockSpace genotype: ``semantics`` and ``shuffle`` of the blocks; ``input``
            (channel order, mean and standard deviation that the weights expect, or ``'detector'`` where they are the
            detector's own); ``stem_channels``; ``stages``, each with ``channels`` and the names of its ``blocks``;
            ``head_channels`` of the ImageNet head.
    """
    if not isinstance(genotype, Mapping) or set(genotype) != set(CHOICE_KEYS):
        raise ValueError(f'a choice-block genotype has the keys {", ".join(CHOICE_KEYS)}, not {_shown(genotype)}')
    check_block_options(genotype['semantics'], genotype['shuffle'])
    _check_input(genotype['input'])
    for name in ('stem_channels', 'head_channels'):
        check_count(name, genotype[name])
    stages = genotype['stages']
    if not isinstance(stages, (list, tuple)):
        raise ValueError(f'stages is a list, not {_shown(stages)}')
    for number, stage in enumerate(stages, start=1):
        if not isinstance(stage, Mapping) or set(stage) != {'channels', 'blocks'}:
            raise ValueError(f'stage {number} has the keys channels and blocks, not {_shown(stage)}')
        if not isinstance(stage['blocks'], (list, tuple)) or not stage['blocks']:
            raise ValueError(f'the blocks of stage {number} are a list with at least the one that halves the '
                             f'resolution, not {_shown(stage["blocks"])}')
        for place, kind in enumerate(stage['blocks'], start=1):
            check_kind(f'stage {number}, block {place}', kind)
    check_widths(genotype['stem_channels'], [stage['channels'] for stage in stages])


def check_block_options(semantics: Any, shuffle: Any) -> None:
    """Refuse blocks that are not built here, and unknown ways to split channels; ValueError."""
    if semantics not in SEMANTICS:
        raise ValueError(f"semantics is 'megvii', not {semantics!r}: other code uses the same block names for other "
                         f"networks (MMRazor's shuffles after the concatenation, and its halves are equal), which are "
                         f"not built here")
    if shuffle not in SHUFFLES:
        raise ValueError(f'shuffle is one of {SHUFFLES}, not {shuffle!r}')


def check_kind(where: str, kind: Any) -> None:
    """Refuse an unknown block name; ValueError says where it stands."""
    if kind not in tuple(KERNELS):
        raise ValueError(f'{where}: {kind!r} is not one of the blocks {", ".join(KERNELS)}')


def check_choices(choices: Sequence[str]) -> None:
    """Refuse blocks to choose from that are none, unknown or named twice; ValueError."""
    for kind in choices:
        check_kind('choices', kind)
    if not choices or len(set(choices)) < len(choices):
        raise ValueError(f'choices are one or several different blocks, not {list(choices)}')


def widths_and_depths(stages: Sequence[Mapping]) -> tuple[list[int], list[int]]:
    """Return the channels and the number of blocks of each stage.

    Args:
        stages: Each a dict with ``channels`` and ``num_blocks``.

    Raises:
        ValueError: A stage has other keys or no blocks; of the channels :func:`check_widths` tells.
    """
    for number, stage in enumerate(stages, start=1):
        if set(stage) != {'channels', 'num_blocks'}:
            raise ValueError(f'stage {number} is a dict with channels and num_blocks, not {dict(stage)}')
        check_count(f'num_blocks of stage {number}', stage['num_blocks'])
    return [stage['channels'] for stage in stages], [stage['num_blocks'] for stage in stages]


def check_widths(stem_channels: int, widths: Sequence[int]) -> None:
    """Refuse stages that blocks cannot have: an odd number of channels, or no more than before; ValueError."""
    if not widths:
        raise ValueError('a network of choice blocks has at least one stage')
    before = stem_channels
    for number, width in enumerate(widths, start=1):
        check_count(f'channels of stage {number}', width)
        if width % 2:
            raise ValueError(f'stage {number} has {width} channels: take an even number, its blocks split them in two')
        if width <= before:
            raise ValueError(f'stage {number} has {width} channels, but needs more than the {before} that enter it: '
                             f'its first block adds channels to those')
        before = width


def check_count(name: str, number: Any) -> None:
    """Refuse what is not a whole number of at least 1; ValueError."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f'{name}: a whole number, at least 1, not {number!r}')


def _check_input(given: Any) -> None:
    if given == FROM_DETECTOR:
        return
    if not isinstance(given, Mapping) or set(given) != {'channels', 'mean', 'std'}:
        raise ValueError(f'input is {FROM_DETECTOR!r}, or has the keys channels, mean and std, not {_shown(given)}')
    if given['channels'] not in CHANNEL_ORDERS:
        raise ValueError(f'channels of the input is one of {CHANNEL_ORDERS}, not {given["channels"]!r}')
    for name in ('mean', 'std'):
        numbers = given[name]
        if not isinstance(numbers, (list, tuple)) or [type(number) in (int, float) for number in numbers] != [True] * 3:
            raise ValueError(f'{name} of the input is three numbers, one a channel, not {numbers!r}')
    if min(given['std']) <= 0:
        raise ValueError(f'std of the input is positive, not {given["std"]!r}')


def _shown(given: Any) -> str:
    return ', '.join(map(str, given)) or 'none' if isinstance(given, Mapping) else repr(given)
