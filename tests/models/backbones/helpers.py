"""Small genotypes of choice blocks."""

import numpy as np

from nasdet.models.layers.choice_blocks import KERNELS

INPUT = dict(channels='bgr', mean=[0, 0, 0], std=[1, 1, 1])
STEM, WIDTHS, DEPTHS, HEAD = 4, (8, 12, 20, 24), (2, 1, 3, 2), 16
STAGES = [dict(channels=width, num_blocks=depth) for width, depth in zip(WIDTHS, DEPTHS, strict=True)]
MIXED = [['shuffle3', 'xception'], ['xception'], ['shuffle5', 'shuffle7', 'shuffle3'], ['shuffle7', 'shuffle5']]


def choice_genotype(kinds=MIXED, shuffle='halves', **changes):
    stages = [dict(channels=width, blocks=list(blocks)) for width, blocks in zip(WIDTHS, kinds, strict=True)]
    return {**dict(semantics='megvii', shuffle=shuffle, input=INPUT, stem_channels=STEM, stages=stages,
                   head_channels=HEAD), **changes}


def drawn_genotypes(number, shuffle='halves'):
    rng = np.random.default_rng(0)
    return [choice_genotype([rng.choice(list(KERNELS), depth).tolist() for depth in DEPTHS], shuffle)
            for _ in range(number)]
