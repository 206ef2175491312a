"""Whether the supernet ranks backbones as their own trainings do.

    python -m benchmarks.detnas.rank_correlation [--slots 2]            # stand-alone trainings, two seeds each
    python -m benchmarks.detnas.rank_correlation --supernet NAME [--supernet-seed 0] [--supernet-options ...]
    python -m benchmarks.detnas.rank_correlation --show [--picture]

Step 1 comes first: ``nasdet train configs/detnas/supernet_digits_pretrain.py``; or begin the supernet from scratch with
``--supernet-options search.space.backbone.init_cfg=None``. The table is ``rank_correlation.csv``.
"""

import sys

from benchmarks import rank_correlation
from benchmarks.detnas.common import PROXY, SUPERNET, TABLES, WORK_DIR

STUDY = rank_correlation.Study(
    __doc__, PROXY, SUPERNET, TABLES / 'rank_correlation.csv', WORK_DIR / 'rank_correlation')

if __name__ == '__main__':
    sys.exit(rank_correlation.main(STUDY))
