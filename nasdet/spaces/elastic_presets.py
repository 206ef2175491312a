"""The published spaces of elastic MBConv networks.

BigNAS (arXiv:2003.11142), widths of stage 7 and of the head as in the re-implementation github.com/MAC-AutoML/XNAS;
AttentiveNAS (arXiv:2011.09011, table 1), as in its authors' configs/train_attentive_nas_models.yml.
"""

from typing import Sequence


def _stage(channels: Sequence[int], depth: Sequence[int], kernel: Sequence[int], expansion: Sequence[int], stride: int,
           se: bool) -> dict:
    return dict(channels=channels, depth=depth, kernel=kernel, expansion=expansion, stride=stride, se=se)


BIGNAS = dict(
    semantics='efficientnet', resolution=(192, 224, 256, 288, 320), stem_channels=(32, 40),
    stages=(
        _stage((16, 24), (1, 2), (3,), (1,), 1, True),
        _stage((24, 32), (2, 3), (3,), (6,), 2, True),
        _stage((40, 48), (2, 3), (3, 5), (6,), 2, True),
        _stage((80, 88), (2, 3, 4), (3, 5), (6,), 2, True),
        _stage((112, 120, 128), (2, 3, 4, 5, 6), (3, 5), (6,), 1, True),
        _stage((192, 200, 208, 216), (2, 3, 4, 5, 6), (3, 5), (6,), 2, True),
        _stage((320, 352), (1, 2), (3, 5), (6,), 1, True)),
    head_channels=(1280, 1408))
ATTENTIVENAS = dict(
    semantics='attentivenas', resolution=(192, 224, 256, 288), stem_channels=(16, 24),
    stages=(
        _stage((16, 24), (1, 2), (3, 5), (1,), 1, False),
        _stage((24, 32), (3, 4, 5), (3, 5), (4, 5, 6), 2, False),
        _stage((32, 40), (3, 4, 5, 6), (3, 5), (4, 5, 6), 2, True),
        _stage((64, 72), (3, 4, 5, 6), (3, 5), (4, 5, 6), 2, False),
        _stage((112, 120, 128), (3, 4, 5, 6, 7, 8), (3, 5), (4, 5, 6), 1, True),
        _stage((192, 200, 208, 216), (3, 4, 5, 6, 7, 8), (3, 5), (6,), 2, True),
        _stage((216, 224), (1, 2), (3, 5), (6,), 1, True)),
    head_channels=(1792, 1984))
PRESETS = dict(bignas=BIGNAS, attentivenas=ATTENTIVENAS)
