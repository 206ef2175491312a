"""Small genotypes of MBConv blocks."""

GENES = [(8, 1, 3, 1, 1, False), (16, 2, 5, 4, 2, False), (16, 3, 3, 4, 2, True), (24, 2, 5, 6, 1, True)]
INDICES = (1, 3)        # the last stages of strides 4 and 8


def mbconv_genotype(semantics='attentivenas', resolution=None, genes=GENES, **changes):
    """Return a genotype from (channels, depth, kernel, expansion, stride, se) of each stage."""
    names = ('channels', 'depth', 'kernel', 'expansion', 'stride', 'se')
    stages = [dict(zip(names, stage, strict=True)) for stage in genes]
    return {**dict(semantics=semantics, resolution=resolution, stem_channels=8, stages=stages, head_channels=32),
            **changes}
