"""Whether searches of cells find better networks than their random controls, and than the published cells.

    python -m benchmarks.cells.search_quality --method darts enas_micro --seeds 0 1 2 [--slots 2]
    python -m benchmarks.cells.search_quality --method darts --data cifar10_subset --root FOLDER --seeds 0
    python -m benchmarks.cells.search_quality --show

For each method and seed the small search of the shipped config is run with its control at equal cost, as ``nasdet
search CONFIG --control`` does it. Then the best network of the search, the best of the control and the method's
published cells in the same skeleton are trained from scratch on search-train and search-val with that seed, as ``nasdet
confirm`` does, and measured once on test. Every figure becomes a row of ``search_quality_rewards.csv`` or
``search_quality_test.csv`` at once, and what is there is not measured again; a killed search goes on.

The reward of a search within one training (DARTS, ENAS) is that of its result trained alone, as each network of its
control is.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from benchmarks.cells.common import METHODS, SIDE, TABLES, WORK_DIR
from benchmarks.classification_data import add_classification_data, data_options
from benchmarks.common import append_row, build_estimator, groups, parser_of, read_rows, recipe_of_test
from benchmarks.search_quality import REWARDS, TEST, WINDOW, figures_of, train_and_test
from nasdet import zoo
from nasdet.config import load_config, network_of
from nasdet.confirm import Confirmation
from nasdet.confirm.comparison import Comparison, compare, sentence, table
from nasdet.confirm.finalists import Candidate, check_buildable, published
from nasdet.costs.complexity import count
from nasdet.datasets import prepare
from nasdet.genotype import Genotype
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir
from nasdet.models.meta import build_on_meta
from nasdet.registry import SPACES, TRAINERS, build
from nasdet.search import command

SEARCH, CONTROL, PUBLISHED = 'search', 'control', 'published'
NOT_IN_RECIPE = ('data', 'engine')      # what the dataloaders say already, what changes nothing


class Seed:
    """All that is measured of one method with one seed.

    Args:
        method: One of ``METHODS``.
        args: Of the command.
        seed: Of search, control and trainings.
    """

    def __init__(self, method: str, args: argparse.Namespace, seed: int):
        self.path, self.published = METHODS[method].config, METHODS[method].published
        self.options = {**options_of(method, args), 'search.seed': seed}
        config = prepare(load_config(str(self.path), self.options), args.work_dir)
        self.recipe = recipe_of_test(config, NOT_IN_RECIPE, args.epochs)
        self.config, self.epochs, self.seed, self.results = config, args.epochs, seed, args.results
        self.start = dict(data=args.data, recipe=self.recipe, method=method)
        self.folder = args.work_dir / args.data / self.recipe / f'seed-{seed}'
        self.space = build(SPACES, config.search.space)

    def rows(self, name: str) -> dict[str, dict[str, str]]:
        """Return the rows of this method and seed that a table has: who -> row."""
        return {row['who']: row for row in read_rows(self.results / name, **self.start, seed=self.seed)}

    def search(self) -> dict[str, Genotype]:
        """Run the search and its control unless both have their rows; return the best genotype of each."""
        folder = self.folder / 'search'
        if len(self.rows(REWARDS)) < 2:
            command.main(argparse.Namespace(
                config=str(self.path), work_dir=str(folder), cfg_options=self.options, control=True))
        for who, place in ((SEARCH, folder), (CONTROL, folder / 'control')):
            if who not in self.rows(REWARDS):
                append_row(self.results / REWARDS, dict(self.start, who=who, seed=self.seed, **outcome(place)))
        return {who: Genotype.from_json(row['genotype']) for who, row in self.rows(REWARDS).items()}

    def test(self, found: Mapping[str, Genotype]) -> None:
        """Train and test what was found and the published cells, where they have no row yet."""
        done = self.rows(TEST)
        candidates = [candidate for candidate in self._candidates(found) if candidate.name not in done]
        check_buildable(candidates)
        with WorkDir(self.folder) as folder:
            confirmation = Confirmation(folder, self.config, self.epochs)
            for candidate in candidates:
                self._test(confirmation, candidate)

    def _candidates(self, found: Mapping[str, Genotype]) -> list[Candidate]:
        candidates = [Candidate(who, self.space.key(genotype), self.space.apply(genotype, self.config.model))
                      for who, genotype in found.items()]
        if self.published is not None:
            genotype = zoo.load(self.published)
            model = published(self.space, genotype, found[SEARCH], self.config.model)
            candidates.append(Candidate(PUBLISHED, genotype.digest(), model))
        return candidates

    def _test(self, confirmation: Confirmation, candidate: Candidate) -> None:
        figure, seconds = train_and_test(confirmation, candidate, self.seed)
        costs = count(build_on_meta(candidate.model).backbone, self.config.search.costs[0].input_shape)
        append_row(self.results / TEST, dict(self.start, who=candidate.name, seed=self.seed, key=candidate.key,
                                             top1=figure, **costs, seconds=seconds))


def options_of(method: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the shipped config that the command overrides."""
    options = data_options(args, SIDE)
    if 'engine' in load_config(str(METHODS[method].config)).search:
        options.update({'search.window': WINDOW, 'search.engine.slots': args.slots})
    return {**options, **args.cfg_options}


def outcome(folder: Path) -> dict[str, Any]:
    """Return what an ended search, or a control, has found and what it has cost.

    Args:
        folder: Its work dir.

    Returns:
        ``reward`` of a training alone, ``evaluations``, ``steps`` of a search within one training, ``images`` that
        were trained on, repetitions counted, ``seconds`` of all evaluations and steps, and ``genotype``.
    """
    record, config = read_record(folder / 'history.sqlite'), load_config(str(folder / 'config.py'))
    rewarded = read_record(folder / 'alone' / 'history.sqlite') if 'trainer' in config.search else record
    if 'trainer' in config.search:
        space = build(SPACES, config.search.space)
        trainer = build(TRAINERS, config.search.trainer, space=space, config=network_of(config), work_dir=folder)
        images = trainer.images
    else:
        images = len(record.evaluated) * build_estimator(config, folder)[1].training_images
    return dict(reward=repr(rewarded.ranking[0].result.reward), evaluations=len(record.evaluated),
                steps=len(record.steps), images=images, seconds=f'{sum(record.seconds.values()):.1f}',
                genotype=record.ranking[0].proposal.genotype.to_json())


def show(folder: Path) -> None:
    """Print what the searches cost, their rewards, and the figures on test, of every data set, method and recipe."""
    rewards, tests = (groups(read_rows(folder / name), 'data', 'method', 'recipe') for name in (REWARDS, TEST))
    for group, rows in rewards.items():
        data, method, recipe = group
        print(f'\n{method} on {data}, recipe {recipe}; means over the seeds:\n')
        print(means(rows, method, ('evaluations', 'steps', 'images', 'seconds')))
        print('\nbest reward on search-val, the difference to the control\n')
        print(table(against_control(rows, method, 'reward')))
        print(f'\n{report(tests.get(group, []), method)}')


def report(rows: list[dict[str, str]], method: str) -> str:
    """Return the figures on test of one method, data set and recipe, and in a sentence what they say of the search."""
    comparisons = against_control(rows, method, 'top1')
    if not comparisons:
        return 'Nothing is measured on test yet.'
    found = next(comparison for comparison in comparisons if comparison.name == method)
    return (f'top-1 accuracy on test, the difference to the control\n\n{table(comparisons)}\n\n'
            f'{means(rows, method, ("params", "macs"))}\n\n{sentence(found, CONTROL, "top-1 accuracy")}')


def against_control(rows: list[dict[str, str]], method: str, figure: str) -> list[Comparison]:
    """Return how all stand to the control; nothing before it and the search have a row."""
    figures = by_name(rows, method, figure)
    return compare(figures, CONTROL) if {method, CONTROL} <= figures.keys() else []


def by_name(rows: list[dict[str, str]], method: str, figure: str) -> dict[str, dict[int, float]]:
    """Return name -> seed -> figure, where the search has the name of the method."""
    return {method if who == SEARCH else who: figures for who, figures in figures_of(rows, 'who', figure).items()}


def means(rows: list[dict[str, str]], method: str, columns: Sequence[str]) -> str:
    """Return a line for each name with the means of some columns over its seeds."""
    figures = {column: by_name(rows, method, column) for column in columns}
    return '\n'.join(f'{name}: ' + ', '.join(f'{np.mean(list(figures[column][name].values())):,.0f} {column}'
                                             for column in columns) for name in figures[columns[0]])


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, TABLES, WORK_DIR / 'search_quality')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--method', nargs='+', choices=METHODS, default=list(METHODS), help='default: all')
    add_classification_data(parser)
    parser.add_argument('--slots', type=int, default=1, help='networks trained at once, one thread each, where the '
                                                             'search evaluates one by one')
    parser.add_argument('--epochs', type=int, default=20, help='of the trainings that are measured on test')
    return parser.parse_args()


def main() -> int:
    """Measure what is missing, or print what is there."""
    args = parse()
    if args.show:
        show(args.results)
        return 0
    for method in args.method:
        for number in args.seeds:
            seed = Seed(method, args, number)
            seed.test(seed.search())
    return 0


if __name__ == '__main__':
    sys.exit(main())
