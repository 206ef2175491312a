"""Small genotypes of MBConv blocks, and small choices of them."""

import numpy as np

from nasdet.models.layers.mbconv_choices import genes_of, with_genes

GENES = [(8, 1, 3, 1, 1, False), (16, 2, 5, 4, 2, False), (16, 3, 3, 4, 2, True), (24, 2, 5, 6, 1, True)]
INDICES = (1, 3)        # the last stages of strides 4 and 8


def mbconv_genotype(semantics='attentivenas', resolution=None, genes=GENES, **changes):
    """Return a genotype from (channels, depth, kernel, expansion, stride, se) of each stage."""
    names = ('channels', 'depth', 'kernel', 'expansion', 'stride', 'se')
    stages = [dict(zip(names, stage, strict=True)) for stage in genes]
    return {**dict(semantics=semantics, resolution=resolution, stem_channels=8, stages=stages, head_channels=32),
            **changes}


def mbconv_choices(semantics='attentivenas', resolution=None, **changes):
    """Return choices in which the first stage may or may not have a shortcut's convolution."""
    stages = [dict(channels=[8, 16], depth=[1, 2], kernel=[3], expansion=[1], stride=1, se=semantics == 'efficientnet'),
              dict(channels=[16, 24], depth=[1, 2, 3], kernel=[3, 5, 7], expansion=[4, 6], stride=2, se=False),
              dict(channels=[24], depth=[1, 2], kernel=[3, 5], expansion=[3, 4], stride=1, se=True),
              dict(channels=[32, 40, 48], depth=[1, 2], kernel=[3, 5], expansion=[6], stride=2, se=True)]
    return {**dict(semantics=semantics, resolution=resolution, stem_channels=[8, 16], stages=stages,
                   head_channels=[32, 64]), **changes}


def drawn_children(choices, number):
    rng = np.random.default_rng(0)
    return [with_genes(choices, {name: int(rng.choice(values)) for name, values in genes_of(choices).items()})
            for _ in range(number)]
