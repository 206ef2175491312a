"""Whether evolution finds better backbones than random search does, than a random path, and than plain ShuffleNetV2.

    python -m benchmarks.detnas.search_quality --seeds 0 1 2 [--detector faster_rcnn] [--trials 100] [--slots 2]
    python -m benchmarks.detnas.search_quality --data bccd --ann train.json --images DIR --test-ann test.json \
        --seeds 0 1 2 [--detector faster_rcnn]
    python -m benchmarks.detnas.search_quality --show

Step 1 comes first: ``nasdet train configs/detnas/supernet_digits_pretrain.py``. For each seed a supernet is trained
once, and evolution and random search score equally many candidates with it; evolution's first generation is random
search's first proposals, so that the two are paired. Then the best of each, a path drawn at
random under the search's limit and ShuffleNetV2, which has a kernel of 3 everywhere, are trained from scratch on
search-train and search-val, as ``nasdet confirm`` does, and measured once on test. All have the multiply-adds of the
limit, within 2 %: each backbone has the width that comes nearest.
"""

import argparse
import sys
from itertools import count
from pathlib import Path
from typing import Mapping

from mmengine.config import Config

from benchmarks import search_quality
from benchmarks.common import draw
from benchmarks.detnas import equal_macs
from benchmarks.detnas.common import CONFIGS, TABLES, WORK_DIR
from benchmarks.equal_cost import Finalist
from nasdet.genotype import Genotype
from nasdet.registry import COSTS, SPACES, build

PLAIN = 'shuffle3'          # ShuffleNetV2's block


class Backbones(search_quality.Study):
    """Searched backbones, a random one and ShuffleNetV2."""

    column = 'backbone'
    references = ('random', 'random_path', 'shufflenet_v2')

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the choice of the detector."""
        parser.add_argument('--detector', choices=['retinanet', 'faster_rcnn'], default='retinanet')

    def label(self, args: argparse.Namespace) -> str:
        """Return detector and data set."""
        return f'{args.detector}-{args.data}'

    def config(self, args: argparse.Namespace) -> Path:
        """Return the search config of the command's detector and data set."""
        data = 'digits' if args.data == 'digits' else 'own_data'
        return CONFIGS / f'{args.detector}_{data}_evolution.py'

    def searchers(self, config: Config) -> dict[str, dict]:
        """Return the config's evolution, and random search."""
        return dict(evolution=config.search.searcher, random=dict(type='RandomSearcher'))

    def baselines(self, config: Config, seed: int) -> dict[str, Genotype]:
        """Return the first drawn path that meets the limit, another one for each seed, and the plain network."""
        space = build(SPACES, config.search.space)
        cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
        drawn = (draw(space, 1000 * seed + number) for number in count())
        plain = space.vocab['block'].index(PLAIN)
        return dict(random_path=next(genotype for genotype in drawn if cost(genotype) <= cost.limit),
                    shufflenet_v2=space.decode((plain,) * len(space.encode(draw(space, 0)))))

    def finalists(self, config: Config, genotypes: Mapping[str, Genotype]) -> list[Finalist]:
        """Return backbones at the multiply-adds of the limit."""
        return equal_macs.finalists(config, genotypes)


STUDY = Backbones(__doc__, TABLES, WORK_DIR / 'search_quality')

if __name__ == '__main__':
    sys.exit(search_quality.main(STUDY))
