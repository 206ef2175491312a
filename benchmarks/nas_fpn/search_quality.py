"""Whether a search finds better necks than random search does, and than FPN, PAFPN and the published cell.

    python -m benchmarks.nas_fpn.search_quality --seeds 0 1 2 3 4 [--trials 200] [--slots 2]
    python -m benchmarks.nas_fpn.search_quality --data bccd --ann train.json --images DIR --test-ann test.json \
        --seeds 0 1 2
    python -m benchmarks.nas_fpn.search_quality --show

For each seed a supernet is trained once, and PPO controller, evolution and random search score equally many candidates
with it. Then the best of each and the published necks are trained from scratch on search-train and search-val, as
``nasdet confirm`` does, and measured once on test. All have the multiply-adds of neck and head that the published cell
has at the config's width, within 2 %: each neck has the width that comes nearest.
"""

import argparse
import sys
from pathlib import Path
from typing import Mapping

from mmengine.config import Config

from benchmarks import search_quality
from benchmarks.equal_cost import Finalist
from benchmarks.nas_fpn import equal_macs
from benchmarks.nas_fpn.common import OWN_DATA, PROXY, SUPERNET, TABLES, WORK_DIR
from nasdet import zoo
from nasdet.config import load_config
from nasdet.genotype import Genotype

BASELINES = ('no_fusion', 'fpn', 'pafpn', 'nas_fpn')
REFERENCE = 'nas_fpn'       # whose multiply-adds all finalists have


class Necks(search_quality.Study):
    """Searched necks, and published ones."""

    column = 'neck'
    references = ('fpn', 'random')
    trials = 200

    def config(self, args: argparse.Namespace) -> Path:
        """Return the search config of the command's data set."""
        return SUPERNET if args.data == 'digits' else OWN_DATA

    def searchers(self, config: Config) -> dict[str, dict]:
        """Return the config of each searcher, by its name in the tables: those of the shipped search configs."""
        evolution = load_config(str(PROXY)).search.searcher
        return dict(ppo=config.search.searcher, evolution=evolution, random=dict(type='RandomSearcher'))

    def baselines(self, config: Config, seed: int) -> dict[str, Genotype]:
        """Return the published necks."""
        return {name: zoo.load(name) for name in BASELINES}

    def finalists(self, config: Config, genotypes: Mapping[str, Genotype]) -> list[Finalist]:
        """Return necks at the multiply-adds of the published cell."""
        return equal_macs.finalists(config, genotypes, zoo.load(REFERENCE))


STUDY = Necks(__doc__, TABLES, WORK_DIR / 'search_quality')

if __name__ == '__main__':
    sys.exit(search_quality.main(STUDY))
