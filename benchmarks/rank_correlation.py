"""Whether a supernet ranks genotypes as their own trainings do: the command that a benchmark of a method runs.

The genotypes are drawn uniformly and are always the same. Every figure is the mAP on search-val and becomes a row of
the table at once; rows that are there are not measured again. ``proxy`` is a hash of the recipe of the stand-alone
trainings that a row belongs to: rows of an older recipe stay in the file, and are shown by themselves. The name of a
supernet is free, and says how it differs; ``recipe`` tells two of one name apart.
"""

import argparse
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Iterator

import numpy as np
import torch
from mmengine.config import Config

from benchmarks.common import append_row, build_estimator, draw, groups, open_recipe, parser_of, read_rows
from benchmarks.correlation import correlate, partial_tau, tau
from nasdet.cli import CfgOptions
from nasdet.engines import LocalEngine
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Job, Outcome
from nasdet.registry import COSTS, SPACES, build

ALONE = 'stand-alone'


@dataclass(frozen=True)
class Study:
    """What a method's benchmark measures, and where.

    Args:
        description: Of its command.
        proxy: Config of the stand-alone trainings.
        supernet: Config of the supernet.
        results: The table.
        work_dir: Where it works.
    """

    description: str
    proxy: Path
    supernet: Path
    results: Path
    work_dir: Path


class Table:
    """The rows of one way of scoring, one a genotype and seed.

    Args:
        path: Of the CSV file.
        config: Prepared; of what is measured.
        name: ``'stand-alone'``, or that of a supernet.
        recipe: Of what is measured.
        proxy: Recipe of the stand-alone trainings.
    """

    def __init__(self, path: Path, config: Config, name: str, recipe: str, proxy: str):
        self.path, self.objective = path, config.search.objective
        self.start = dict(name=name, recipe=recipe, proxy=proxy)
        self.space = build(SPACES, config.search.space)
        self.macs = build(COSTS, config.search.costs[0], space=self.space, model=config.model)

    def missing(self, genotypes: int, seeds: Iterable[int]) -> Iterator[tuple[Genotype, int]]:
        """Yield what is to be measured still: all genotypes with one seed, then with the next."""
        done = {(row['key'], int(row['seed'])) for row in read_rows(self.path, **self.start)}
        for seed in seeds:
            for genotype in (draw(self.space, index) for index in range(genotypes)):
                if (self.space.key(genotype), seed) not in done:
                    yield genotype, seed

    def add(self, genotype: Genotype, seed: int, metrics: dict, seconds: float) -> None:
        """Append a row."""
        append_row(self.path, dict(
            self.start, key=self.space.key(genotype), seed=seed, mAP=repr(metrics[self.objective]),
            macs=int(self.macs(genotype)), seconds=f'{seconds:.2f}', genotype=genotype.to_json()))


def run_jobs(folder: Path, jobs: Iterable[Job], slots: int, done: Callable[[Job, Outcome], None]) -> None:
    """Evaluate jobs on this machine, ``slots`` at a time; ``done`` is told each.

    Raises:
        RuntimeError: One has failed.
    """
    waiting, running = deque(jobs), {}
    engine = LocalEngine(folder, slots)
    engine.start()
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                job = waiting.popleft()
                running[job.trial] = job
                engine.submit(job)
            for outcome in engine.poll():
                if outcome.status != 'ok':
                    raise RuntimeError(f'{running[outcome.trial].folder}: {outcome.status}\n{outcome.error}')
                done(running.pop(outcome.trial), outcome)
    finally:
        engine.close()


def train_alone(args, folder: Path, table: Table) -> None:
    jobs = [Job(number, 1, table.space.key(genotype), genotype, Budget(), seed,
                str(folder / 'trials' / f'{table.space.key(genotype)}-{seed}'))
            for number, (genotype, seed) in enumerate(table.missing(args.genotypes, range(args.seeds)))]
    left = len(jobs)

    def done(job: Job, outcome: Outcome) -> None:
        nonlocal left
        left -= 1
        metrics = outcome.evaluation.metrics
        table.add(job.genotype, job.seed, metrics, outcome.seconds)
        print(f'{job.key}, seed {job.seed}: {metrics[table.objective]:.4f}, {outcome.seconds:.0f} s; {left} left',
              flush=True)

    run_jobs(folder, jobs, args.slots, done)


def score_with_supernet(args, supernet: Path, proxy: str) -> None:
    config, recipe = open_recipe(supernet, args.work_dir, {**args.cfg_options, **args.supernet_options})
    config.search.estimator.seed = seed = args.supernet_seed
    table = Table(args.results, config, args.supernet, recipe, proxy)
    left = list(table.missing(args.genotypes, [seed]))
    _, estimator = build_estimator(config, args.work_dir / recipe / f'seed-{seed}')
    estimator.check()
    estimator.prepare()
    torch.set_num_threads(estimator.threads)
    estimator.setup()
    for genotype, _ in left:
        evaluation = estimator.evaluate(genotype, Budget(), seed)
        table.add(genotype, seed, evaluation.metrics, evaluation.cost['seconds'])


def columns(rows: list[dict]) -> dict[int, dict[str, float]]:
    """Return seed -> key -> mAP."""
    return {int(seed): {row['key']: float(row['mAP']) for row in of_seed}
            for (seed,), of_seed in groups(rows, 'seed').items()}


def mean_of(by_seed: dict[int, dict[str, float]]) -> dict[str, float]:
    """Return the mean over all seeds of each key that has all of them."""
    keys = set.intersection(*(set(of_key) for of_key in by_seed.values()))
    return {key: float(np.mean([of_key[key] for of_key in by_seed.values()])) for key in keys}


def show(rows: list[dict]) -> None:
    """Print the correlations of every recipe of the stand-alone training that the table has."""
    for (proxy,), of_proxy in groups(rows, 'proxy').items():
        macs = {row['key']: float(row['macs']) for row in of_proxy}
        by_name = groups(of_proxy, 'name', 'recipe')
        alone = columns(by_name.pop((ALONE, proxy), []))
        print(f'\nproxy {proxy}: {sum(map(len, alone.values()))} stand-alone trainings, seeds {sorted(alone)}')
        if not alone:
            continue
        mean = mean_of(alone)
        if len(alone) > 1:
            print_line('seed to seed, the ceiling', tau, *list(alone.values())[:2])
        print_line('MACs alone and stand-alone', tau, macs, mean)
        for (name, recipe), of_name in by_name.items():
            scores = columns(of_name)
            for seed, score in scores.items():
                show_supernet(f'{name} ({recipe[:6]}), seed {seed}', score, alone, mean, macs)
            if len(scores) > 1:
                show_supernet(f'{name} ({recipe[:6]}), mean of {len(scores)} seeds', mean_of(scores), alone, mean, macs)


def show_supernet(name: str, score: dict, alone: dict[int, dict], mean: dict, macs: dict) -> None:
    print_line(f'{name}: with the mean of the seeds', tau, score, mean)
    print_line(f'{name}: given MACs', partial_tau, score, mean, macs)
    for seed, of_key in alone.items():
        print_line(f'{name}: with stand-alone seed {seed}', tau, score, of_key)


def print_line(name: str, statistic: Callable, *figures: dict[str, float]) -> None:
    """Print a correlation over the keys that all figures have."""
    keys = sorted(set.intersection(*(set(of_key) for of_key in figures)))
    if len(keys) > 2:
        print(f'  {name:60} {correlate(statistic, *([of_key[key] for key in keys] for of_key in figures))}')


def draw_picture(rows: list[dict], path: Path) -> None:
    """Draw the supernets' scores against the stand-alone mAP of the newest recipe."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    (proxy,), of_proxy = list(groups(rows, 'proxy').items())[-1]
    by_name = groups(of_proxy, 'name', 'recipe')
    alone = by_name.pop((ALONE, proxy), [])
    if not alone or not by_name:
        raise SystemExit('a picture needs stand-alone trainings and a supernet of one recipe')
    mean = mean_of(columns(alone))
    figure, axes = pyplot.subplots(1, len(by_name), figsize=(4 * len(by_name), 4), squeeze=False)
    for axis, ((name, recipe), of_name) in zip(axes[0], by_name.items(), strict=True):
        score = mean_of(columns(of_name))
        keys = sorted(score.keys() & mean.keys())
        axis.scatter([score[key] for key in keys], [mean[key] for key in keys], s=16)
        axis.set(title=f'{name} ({recipe[:6]})', xlabel='mAP with the supernet',
                 ylabel='mAP, trained alone (mean of the seeds)')
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def parse(study: Study) -> argparse.Namespace:
    parser = parser_of(study.description, study.results, study.work_dir)
    parser.add_argument('--genotypes', type=int, default=30)
    parser.add_argument('--seeds', type=int, default=2, help='of the stand-alone trainings')
    parser.add_argument('--slots', type=int, default=1, help='trainings at once, one thread each')
    parser.add_argument('--supernet', metavar='NAME', help='train a supernet and score with it instead')
    parser.add_argument('--supernet-seed', type=int, default=0)
    parser.add_argument('--supernet-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE',
                        help="settings of the supernet's config to override")
    parser.add_argument('--picture', action='store_true', help='with --show: draw them too')
    return parser.parse_args()


def main(study: Study) -> int:
    """Measure what is missing, or print what is there."""
    args = parse(study)
    if args.show:
        rows = read_rows(args.results)
        show(rows)
        if args.picture:
            draw_picture(rows, args.results.with_suffix('.png'))
        return 0
    config, proxy = open_recipe(study.proxy, args.work_dir, args.cfg_options)
    if args.supernet:
        score_with_supernet(args, study.supernet, proxy)
    else:
        train_alone(args, args.work_dir / proxy, Table(args.results, config, ALONE, proxy, proxy))
    return 0
