"""The skeleton: which cell stands where.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, section 3.1.
"""

from typing import NamedTuple, Sequence

from nasdet.models.layers.cells.stems import STEMS


class Slot(NamedTuple):
    """A place in the stack.

    Args:
        kind: Which cell of the genotype stands there: ``'normal'`` or ``'reduce'``.
        width: Its channels a state.
        stage: 0 for the cells of a stem, 1 for those of the first stage.
    """

    kind: str
    width: int
    stage: int


def stack_of_cells(num_cells: Sequence[int], width: int, stem_cells: bool) -> list[Slot]:
    """Return the stack: stages of normal cells, with a reduction cell between two that doubles the width.

    Args:
        num_cells: Normal cells of each stage.
        width: Of the first stage.
        stem_cells: Whether two reduction cells with a quarter and a half of the width come first (ImageNet).
    """
    stem = [Slot('reduce', width // 4, 0), Slot('reduce', width // 2, 1)] if stem_cells else []
    stages = []
    for stage, number in enumerate(num_cells, start=1):
        stage_width = width * 2 ** (stage - 1)
        stages += [Slot('reduce', stage_width, stage)] * (stage > 1) + [Slot('normal', stage_width, stage)] * number
    return stem + stages


def check_skeleton(num_cells: Sequence[int], width: int, stem: str) -> None:
    """Raise ValueError unless a stack can be built."""
    if stem not in STEMS:
        raise ValueError(f'stem is one of {STEMS}, not {stem!r}')
    counts = list(num_cells) if isinstance(num_cells, Sequence) else []
    if not counts or counts[0] < 1 or any(not isinstance(number, int) or number < 0 for number in counts):
        raise ValueError(f'num_cells says how many normal cells each stage has, at least one in the first, such as '
                         f'(6, 6, 6), not {num_cells!r}')
    least = 8 if stem == 'nasnet_imagenet' else 2
    if not isinstance(width, int) or width < least:
        raise ValueError(f'width is a whole number, at least {least} with the stem {stem!r}, not {width!r}')
