"""Whether children of one training are worth as much as the same networks trained alone at equal total cost.

    python -m benchmarks.bignas.front --seeds 0 1 2 [--slots 2]
    python -m benchmarks.bignas.front --data cifar10_subset --root FOLDER --seeds 0
    python -m benchmarks.bignas.front --show

For each seed the search of ``configs/bignas/mbconv_digits_coarse_to_fine.py`` is run: one training and its selection.
Eight children of its Pareto front in all costs (what ``nasdet export --front`` lists), spread evenly over it, are
measured on test as they are cut out. Then each is trained alone on the same images, search-train, all for equally many
epochs: the eight trainings together take, in multiply-adds, what training and selection took. A backward pass counts as
two forward passes. Every figure becomes a row of ``front.csv`` at once, and what is there is not measured again.
"""

import argparse
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from benchmarks.bignas.common import SEARCH, SIDE, TABLES, WORK_DIR
from benchmarks.classification_data import add_classification_data, data_options
from benchmarks.common import append_row, groups, open_config, parser_of, read_rows, recipe_of
from nasdet.config import load_config
from nasdet.confirm.comparison import compare, table
from nasdet.estimators.fingerprint import digest
from nasdet.history import Trial
from nasdet.history.record import read_record
from nasdet.search import Search
from nasdet.training import build_runner
from nasdet.training.subset import image_count

CHILD, ALONE = 'child', 'alone'
PASSES = 3          # a training step costs as many forward passes
DRAWS = 200         # random children whose mean cost stands for those of the sandwich


@dataclass
class Seed:
    """All that is measured with one seed.

    Args:
        config: Of the search.
        folder: Where it works.
        results: The table.
        start: First cells of its rows.
        seed: Of search and trainings.
        children: Number of children measured.
    """

    config: Config
    folder: Path
    results: Path
    start: dict
    seed: int
    children: int

    def measure(self) -> bool:
        """Measure what has no row yet; return whether the front has enough children, and else say so."""
        self.config.search.update(seed=self.seed)
        self.config.search.estimator.seed = self.seed
        with closing(Search.from_cfg(self.config, str(self.folder))) as search:
            search.run()
            cost = search.costs[0]
            front = read_record(search.work_dir.history).front([each.name for each in search.costs])
            if len(front) < self.children:
                print(f'seed {self.seed}: the front has {len(front)} children, and {self.children} are to be measured: '
                      f'raise search.searcher.mutations, or measure fewer', file=sys.stderr)
                return False
            trials = spread(front, self.children)
            macs = sum(trial.result.costs[cost.name] for trial in trials)
            epochs = max(1, round(total_cost(search, cost) / (PASSES * image_count(search.config, 'train') * macs)))
            done = {(row['way'], row['trial']) for row in read_rows(self.results, **self.start, seed=self.seed)}
            for trial in trials:
                for way, length in ((CHILD, 0), (ALONE, epochs)):
                    if (way, str(trial.trial)) not in done:
                        self._measure(search, trial, way, length)
        return True

    def _measure(self, search: Search, trial: Trial, way: str, epochs: int) -> None:
        """Measure a network that is trained alone, or, with no epochs, a child as it is cut out."""
        begun = time.monotonic()
        config = Config(search.config.to_dict())
        config.val_dataloader, config.val_evaluator = config.test_dataloader, config.test_evaluator
        model = search.space.apply(trial.proposal.genotype, config.model)
        runner = build_runner(config, model, self.folder / way / str(trial.trial), epochs or 1, self.seed)
        if epochs:
            runner.train()
        else:
            weights = self.folder / 'children' / f'{trial.trial}.pth'
            search.estimator.weights(trial.proposal.genotype, None, weights)
            load_checkpoint(runner.model, str(weights), map_location='cpu', strict=True, logger='silent')
        accuracy = runner.val_loop.run()['accuracy/top1']
        runner.close()
        macs = next(iter(trial.result.costs.values()))
        append_row(self.results, dict(
            self.start, seed=self.seed, trial=trial.trial, way=way, key=trial.key, macs=int(macs), epochs=epochs,
            reward=repr(trial.result.reward), accuracy=repr(float(accuracy)),
            seconds=f'{time.monotonic() - begun:.1f}'))


def spread(front: list[Trial], number: int) -> list[Trial]:
    """Return trials spread evenly over a front that has at least as many, its two ends among them."""
    return [front[index] for index in np.linspace(0, len(front) - 1, number).round().astype(int)]


def front_recipe(config: Config) -> str:
    """Return a short hash of what a front depends on in a prepared config, the seed apart."""
    search = config.search.to_dict()
    selection = [search[name] for name in ('searcher', 'objective', 'costs', 'budget')]
    return digest(recipe_of(config), selection)


def total_cost(search: Search, cost) -> float:
    """Return the multiply-adds of a search: of the supernet's training, and of all children that were scored."""
    space, estimator = search.space, search.estimator
    rng = np.random.default_rng(0)
    random = np.mean([cost(space.sample(rng)) for _ in range(DRAWS)])
    children = cost(space.largest()) + cost(space.smallest()) + estimator.sandwich['random_children'] * random
    training = PASSES * children * estimator.epochs * image_count(search.config, 'train')
    images = image_count(search.config, 'val') + estimator.recalibration_images
    scored = read_record(search.work_dir.history).evaluated
    return training + images * sum(trial.result.costs[cost.name] for trial in scored)


def show(path: Path) -> None:
    """Print the pairs of each data set, recipe and seed, and the difference of their means, paired by seed."""
    for (data, recipe), rows in groups(read_rows(path), 'data', 'recipe').items():
        print(f'\n{data}, recipe {recipe}: accuracy on test\n')
        means: dict[str, dict[int, float]] = {}
        measured = groups(rows, 'seed', 'way')
        for (seed, way), part in measured.items():
            if len(part) == len(measured[seed, CHILD]):     # all that the seed's front has
                means.setdefault(way, {})[int(seed)] = float(np.mean([float(row['accuracy']) for row in part]))
            shown = ', '.join(f'{int(row["macs"]) / 1e6:.2f} M: {float(row["accuracy"]):.4f}' for row in part)
            print(f'seed {seed}, {way}: {shown}')
        print('\nmean over the children of a seed, and the difference to the networks trained alone\n')
        print(table(compare(means, ALONE)))


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, TABLES / 'front.csv', WORK_DIR)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--children', type=int, default=8, help='measured of each seed')
    parser.add_argument('--slots', type=int, default=1, help='children scored at once, one thread each')
    add_classification_data(parser)
    return parser.parse_args()


def seeds_of(args: argparse.Namespace) -> list[Seed]:
    """Return what a command measures, seed by seed."""
    options = {**data_options(args, SIDE), **args.cfg_options}
    recipe = front_recipe(open_config(SEARCH, args.work_dir / 'prepared', options))
    seeds = []
    for seed in args.seeds:
        config = load_config(str(SEARCH), options)
        config.search.engine = dict(type='LocalEngine', slots=args.slots)
        start = dict(data=args.data, recipe=recipe)
        seeds.append(Seed(config, args.work_dir / recipe / f'seed-{seed}', args.results, start, seed, args.children))
    return seeds


def main() -> int:
    """Measure what is missing, or print what is there."""
    args = parse()
    if args.show:
        show(args.results)
        return 0
    return 0 if all([seed.measure() for seed in seeds_of(args)]) else 1


if __name__ == '__main__':
    sys.exit(main())
