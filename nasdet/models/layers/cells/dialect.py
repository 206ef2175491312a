"""What reference codes build differently under the same names."""

from dataclasses import dataclass, field
from typing import Mapping

INPUTS = ('nasnet', 'darts', 'enas')
STRIDED_IDS = ('relu_conv', 'relu_factorized', 'factorized')
CONVS = ('plain', 'bottleneck')
PADDINGS = ('symmetric', 'same', 'timm')


@dataclass(frozen=True)
class Dialect:
    """How operations and the inputs of cells are built.

    The genotype says the first four, the network the others.

    Args:
        inputs: How the two inputs of a cell are brought to its width. ``'nasnet'``: state 1 always through a 1x1
            convolution, state 0 only where its channels or size differ, and in the very first cell it is state 1's map
            as it is; ``'darts'``: both always; ``'enas'``: both where they differ, then state 1 once more.
        strided_id: What ``id`` is at stride 2: ``'relu_conv'`` (ReLU, 1x1 convolution), ``'relu_factorized'`` (ReLU,
            factorized reduction) or ``'factorized'``.
        convs: Whether full convolutions (and ``dil`` ones) are ``'plain'``, or the authors' ``'bottleneck'`` of TPU
            code, in which ``dil`` ones are not separable.
        pool_norm: Whether pooling is followed by normalisation.
        padding: Where padding goes at stride 2. ``'symmetric'``: equally on both sides; ``'same'``: as TensorFlow
            does; ``'timm'``: likewise, but average pooling then counts the padding.
        norm_cfg: Normalisation after convolutions.
    """

    inputs: str = 'nasnet'
    strided_id: str = 'relu_conv'
    convs: str = 'plain'
    pool_norm: bool = False
    padding: str = 'symmetric'
    norm_cfg: Mapping = field(default_factory=lambda: dict(type='BN'))

    @classmethod
    def of(cls, genotype: Mapping, padding: str, norm_cfg: Mapping) -> 'Dialect':
        """Return the dialect of a cell genotype in a network with this padding and normalisation.

        Raises:
            ValueError: Unknown ``padding``.
        """
        if padding not in PADDINGS:
            raise ValueError(f'padding is one of {PADDINGS}, not {padding!r}')
        said = {name: genotype[name] for name in ('inputs', 'strided_id', 'convs', 'pool_norm')}
        return cls(padding=padding, norm_cfg=norm_cfg, **said)
