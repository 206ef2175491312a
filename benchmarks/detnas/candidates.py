"""Candidates scored a minute, against the published way, on the same images; and memory over many candidates.

    OMP_NUM_THREADS=1 python -m benchmarks.detnas.candidates [--candidates 20] [--supernet-seed 0]
    OMP_NUM_THREADS=1 python -m benchmarks.detnas.candidates --memory 1000
    python -m benchmarks.detnas.candidates --show

Step 1 comes first: ``nasdet train configs/detnas/supernet_digits_pretrain.py``. The published way, as the authors'
test server has it, builds the detector anew for each candidate, sets its batch norm statistics to 0 and 1, averages
them over 500 batches of 8 training images with momentum 0.1, and reads all images from their files. Both ways score the
paths of one supernet on search-val, in turns, in one process; the genotypes are always the same. Every candidate
becomes a row of ``candidates.csv`` at once. Wanted: at least 5 times as many a minute, and memory that grows by no more
than 2 % from the first tenth of the candidates to the last.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Callable, Iterable, Sequence

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS
from torch import nn

from benchmarks.common import append_row, build_estimator, draw, groups, open_recipe, parser_of, read_rows
from benchmarks.correlation import correlate, tau
from benchmarks.detnas.common import SUPERNET, TABLES, WORK_DIR
from nasdet.estimators.scoring import SupernetScorer, scoring_loader
from nasdet.estimators.supernet import SupernetEstimator
from nasdet.genotype import Genotype
from nasdet.protocol import Budget
from nasdet.training import set_path
from nasdet.training.recalibration import norm_layers

ITERATIONS, BATCH, MOMENTUM = 500, 8, 0.1       # of the published recalibration
LEAST_SPEEDUP = 5
LARGEST_GROWTH = 0.02       # of the memory, from the first tenth of the candidates to the last
FEW = {'search.estimator.images': 4, 'search.estimator.recalibration_images': 4}     # of the look at memory


def published_score(estimator: SupernetEstimator, genotype: Genotype) -> dict[str, float]:
    """Score a path of an estimator's supernet in the published way."""
    config, space = estimator.config, estimator.space
    model = MODELS.build(space.supernet(config.model))
    model.load_state_dict(torch.load(estimator.checkpoint, weights_only=True)['state_dict'])
    set_path(model, space, genotype)
    with torch.inference_mode():
        recalibrate(model, scoring_loader(config, 'train', None, BATCH), ITERATIONS)
        loader = scoring_loader(config, 'val', estimator.images, estimator.batch_size)
        evaluator = Evaluator(config.val_evaluator)
        evaluator.dataset_meta = loader.dataset.metainfo
        return SupernetScorer(model.eval(), False, 0).score(loader, evaluator)[0]


def recalibrate(model: nn.Module, loader: Iterable[dict], iterations: int) -> None:
    """Average batch norm statistics over batches, with momentum; a set that is too small is read again and again."""
    for layer in norm_layers([model]):
        layer.reset_running_stats()
        layer.momentum = MOMENTUM
    model.train()
    again = itertools.chain.from_iterable(itertools.repeat(loader))
    for batch in itertools.islice(again, iterations):
        model.extract_feat(model.data_preprocessor(batch, False)['inputs'])


def timed(score: Callable, *args) -> tuple[dict, float]:
    begun = time.perf_counter()
    metrics = score(*args)
    return metrics, time.perf_counter() - begun


def measure(estimator: SupernetEstimator, recipe: str, objective: str, args: argparse.Namespace) -> None:
    """Score what has no row yet in both ways."""
    start = dict(recipe=recipe, supernet_seed=args.supernet_seed)
    done = {row['key'] for row in read_rows(args.results, **start)}
    for genotype in (draw(estimator.space, index) for index in range(args.candidates)):
        key = estimator.space.key(genotype)
        if key not in done:
            ours, seconds = timed(lambda path: estimator.evaluate(path, Budget(), 0).metrics, genotype)
            theirs, published_seconds = timed(published_score, estimator, genotype)
            append_row(args.results, dict(
                start, key=key, mAP=repr(ours[objective]), seconds=f'{seconds:.3f}',
                published_mAP=repr(float(theirs[objective])), published_seconds=f'{published_seconds:.3f}'))


def show(rows: list[dict]) -> bool:
    """Print the ratio of the times and the agreement of the scores; return whether the target is reached."""
    seconds, published = (np.array([float(row[name]) for row in rows]) for name in ('seconds', 'published_seconds'))
    ratios = published / seconds
    low, high = np.percentile(ratios, (25, 75))
    print(f'{len(rows)} candidates: {60 / np.median(seconds):.1f} a minute, in the published way '
          f'{60 / np.median(published):.2f}; ratio {np.median(ratios):.1f}, quartiles {low:.1f} to {high:.1f} '
          f'(wanted: at least {LEAST_SPEEDUP})')
    scores = [[float(row[name]) for row in rows] for name in ('mAP', 'published_mAP')]
    print(f"Kendall's tau of the two scores: {correlate(tau, *scores)}")
    return bool(np.median(ratios) >= LEAST_SPEEDUP)


def look_at_memory(estimator: SupernetEstimator, candidates: int) -> bool:
    """Print this process's memory while it scores many candidates, on few images each; return whether it is flat."""
    used = []
    for number in range(1, candidates + 1):
        estimator.evaluate(draw(estimator.space, number), Budget(), 0)
        used.append(resident())
        if number * 10 // candidates > (number - 1) * 10 // candidates:
            print(f'{number} candidates: {used[-1]:.1f} MiB', flush=True)
    grown = growth(used)
    print(f'from the first tenth to the last it grew by {100 * grown:+.2f} % (wanted: at most '
          f'{100 * LARGEST_GROWTH:.0f} %)')
    return grown <= LARGEST_GROWTH


def growth(used: Sequence[float]) -> float:
    """Return by what share the mean of the last tenth of some numbers exceeds that of the first tenth."""
    tenth = max(1, len(used) // 10)
    return float(np.mean(used[-tenth:]) / np.mean(used[:tenth]) - 1)


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmRSS:')[1].split()[0]) / 1024


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, TABLES / 'candidates.csv', WORK_DIR / 'candidates')
    parser.add_argument('--candidates', type=int, default=20)
    parser.add_argument('--supernet-seed', type=int, default=0)
    parser.add_argument('--memory', type=int, metavar='CANDIDATES', help='look at memory over so many instead')
    return parser.parse_args()


def main() -> int:
    """Measure what is missing and print; return 0 where the target is reached."""
    args = parse()
    if not args.show:
        torch.set_num_threads(1)
        config, recipe = open_recipe(SUPERNET, args.work_dir, {**(FEW if args.memory else {}), **args.cfg_options})
        config.search.estimator.seed = args.supernet_seed
        _, estimator = build_estimator(config, args.work_dir / recipe / f'seed-{args.supernet_seed}')
        estimator.check()
        estimator.prepare()
        estimator.setup()
        if args.memory:
            return 0 if look_at_memory(estimator, args.memory) else 1
        measure(estimator, recipe, config.search.objective, args)
    return 0 if all([show(rows) for rows in groups(read_rows(args.results), 'recipe').values()]) else 1


if __name__ == '__main__':
    sys.exit(main())
