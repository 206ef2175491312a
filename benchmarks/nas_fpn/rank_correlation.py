"""Whether the supernet ranks genotypes as their own trainings do.

    python -m benchmarks.nas_fpn.rank_correlation [--slots 2]            # stand-alone trainings, two seeds each
    python -m benchmarks.nas_fpn.rank_correlation --supernet NAME [--supernet-seed 0] [--supernet-options ...]
    python -m benchmarks.nas_fpn.rank_correlation --show [--picture]

The genotypes are drawn uniformly and are always the same. Every figure is the mAP on search-val and becomes a row of
``rank_correlation.csv`` at once; rows that are there are not measured again. ``proxy`` is a hash of the recipe of the
stand-alone trainings that a row belongs to: rows of an older recipe stay in the file, and are shown by themselves. NAME
is free, and says how that supernet differs; ``recipe`` tells two of one name apart. Wanted: an interval of tau whose
lower end is at least 0.3.
"""

import sys

from benchmarks import rank_correlation
from benchmarks.nas_fpn.common import PROXY, SUPERNET, TABLES, WORK_DIR

STUDY = rank_correlation.Study(
    __doc__, PROXY, SUPERNET, TABLES / 'rank_correlation.csv', WORK_DIR / 'rank_correlation')

if __name__ == '__main__':
    sys.exit(rank_correlation.main(STUDY))
