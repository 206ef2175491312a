"""Whether searches find better architectures than random search does: the command that a benchmark of a method runs.

For each seed a supernet is trained once, and the method's searchers score equally many candidates with it. Then the
best of each and the method's baselines are trained from scratch on search-train and search-val, as ``nasdet confirm``
does, and measured once on test, all at equal multiply-adds within 2 %. Every figure becomes a row of
``search_quality_rewards.csv`` or ``search_quality_test.csv`` at once, and what is there is not measured again; rows of
an older recipe stay in the files, and are shown by themselves. Processes of different seeds may run at once.
"""

import argparse
import copy
import time
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Collection, Mapping, Optional, Sequence

from mmengine.config import Config

from benchmarks.common import append_row, groups, open_config, parser_of, read_rows, recipe_of
from benchmarks.detection_data import add_detection_data, coco_files
from benchmarks.equal_cost import Finalist
from nasdet.confirm import Confirmation
from nasdet.confirm.comparison import LEVEL, compare, table
from nasdet.confirm.finalists import Candidate, check_buildable
from nasdet.estimators.fingerprint import digest
from nasdet.genotype import Genotype
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir
from nasdet.search import Search

REWARDS, TEST = 'search_quality_rewards.csv', 'search_quality_test.csv'
WINDOW = 2                  # open proposals of a search, whatever the slots: the same history on any machine


class Study(ABC):
    """What a method's benchmark compares.

    Args:
        description: Of its command.
        results: Folder of the tables.
        work_dir: Where it works.
    """

    column: str                     # what the table of tests calls an architecture
    references: Sequence[str]       # the others are compared to each of these
    trials: Optional[int] = None    # of each search where --trials does not say; None: the config's budget

    def __init__(self, description: str, results: Path, work_dir: Path):
        self.description, self.results, self.work_dir = description, results, work_dir

    @abstractmethod
    def config(self, args: argparse.Namespace) -> Path:
        """Return the search config of the command's data set."""

    @abstractmethod
    def searchers(self, config: Config) -> dict[str, dict]:
        """Return the config of each searcher, by its name in the tables; one is ``'random'``."""

    @abstractmethod
    def baselines(self, config: Config, seed: int) -> dict[str, Genotype]:
        """Return what is trained beside the best of the searches, by name."""

    @abstractmethod
    def finalists(self, config: Config, genotypes: Mapping[str, Genotype]) -> list[Finalist]:
        """Return architectures at equal multiply-adds."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def label(self, args: argparse.Namespace) -> str:
        """Return what the tables call the command's data set."""
        return args.data


class Seed:
    """All that is measured with one seed on one data set.

    Args:
        study: Of the method.
        args: Of the command.
        recipe: Of the results.
        seed: Of supernet, searches and trainings.
    """

    def __init__(self, study: Study, args: argparse.Namespace, recipe: str, seed: int):
        label = study.label(args)
        self.study, self.start = study, dict(data=label, recipe=recipe)
        self.folder, self.results, self.seed = args.work_dir / label / recipe / f'seed-{seed}', args.results, seed
        self.config = open_data(study, args, self.folder)
        search = self.config.search
        search.update(seed=seed, window=WINDOW, engine=dict(type='LocalEngine', slots=args.slots))
        search.estimator.seed = seed
        search.shared_dir = str(self.folder.absolute())     # one supernet for all searches, as --control has it

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of this seed that a table has."""
        return read_rows(self.results / name, **self.start, seed=self.seed)

    def search(self) -> dict[str, Genotype]:
        """Run the searches that have no row yet; return the best genotype of each."""
        searchers = self.study.searchers(self.config)
        found = {row['searcher']: row['genotype'] for row in self.rows(REWARDS)}
        for name, searcher in searchers.items():
            if name not in found:
                found[name] = self._search(name, searcher)
        self._refuse_unequal(searchers)
        return {name: Genotype.from_json(found[name]) for name in searchers}

    def _refuse_unequal(self, searchers: Collection[str]) -> None:
        trials = {row['searcher']: row['trials'] for row in self.rows(REWARDS) if row['searcher'] in searchers}
        if len(set(trials.values())) > 1:
            shown = ', '.join(f'{name} {number}' for name, number in trials.items())
            raise SystemExit(f'seed {self.seed}: the searches scored unequally many candidates ({shown}), so they do '
                             f'not compare: give --trials that each of them reaches')

    def _search(self, name: str, searcher: Mapping) -> str:
        config = copy.deepcopy(self.config)
        config.search.searcher = searcher
        with closing(Search.from_cfg(config, str(self.folder / name))) as search:
            best = search.run().to_json()
        record = read_record(self.folder / name / 'history.sqlite')
        append_row(self.results / REWARDS, dict(
            self.start, searcher=name, seed=self.seed, reward=repr(record.ranking[0].result.reward),
            trials=len(record.evaluated), seconds=f'{sum(record.seconds.values()):.1f}', genotype=best))
        return best

    def confirm(self, found: Mapping[str, Genotype]) -> None:
        """Train and test the baselines and what was found, where they have no row yet."""
        done = {(row[self.study.column], row['key']) for row in self.rows(TEST)}
        genotypes = {**self.study.baselines(self.config, self.seed), **found}
        left = {name: genotype for name, genotype in genotypes.items() if (name, genotype.digest()) not in done}
        finalists = self.study.finalists(self.config, left)
        check_buildable([finalist.candidate for finalist in finalists])
        with WorkDir(self.folder) as folder:
            confirmation = Confirmation(folder, self.config)
            for finalist in finalists:
                self._confirm(confirmation, finalist)

    def _confirm(self, confirmation: Confirmation, finalist: Finalist) -> None:
        figure, seconds = train_and_test(confirmation, finalist.candidate, self.seed)
        append_row(self.results / TEST, {
            **self.start, self.study.column: finalist.candidate.name, 'seed': self.seed, 'key': finalist.candidate.key,
            'mAP': figure, 'width': finalist.width, 'macs': finalist.macs, 'params': finalist.params,
            'seconds': seconds})


def train_and_test(confirmation: Confirmation, candidate: Candidate, seed: int) -> tuple[str, str]:
    """Return the figure on test of an architecture that is trained with one seed, and the seconds that this took."""
    begun = time.monotonic()
    rows = confirmation.run([candidate], [seed])
    figure = next(row['figure'] for row in rows if (row['architecture'], row['key']) == (candidate.name, candidate.key))
    return figure, f'{time.monotonic() - begun:.0f}'


def open_data(study: Study, args: argparse.Namespace, folder: Path) -> Config:
    """Return the config of the command's data set, prepared in a folder."""
    trials = study.trials if args.trials is None else args.trials
    options = {**({} if trials is None else {'search.budget.trials': trials}), **args.cfg_options}
    if args.data == 'digits':
        return open_config(study.config(args), folder, {'search.data.root': str(args.work_dir.absolute()), **options})
    files = {f'search.data.{name}': path for name, path in coco_files(args).items()}
    return open_config(study.config(args), folder, {**files, **options})


def show(study: Study, folder: Path) -> None:
    """Print the tables of every data set and recipe."""
    rewards, tests = (groups(read_rows(folder / name), 'data', 'recipe') for name in (REWARDS, TEST))
    for group, rows in rewards.items():
        print(f'\n{group[0]}, recipe {group[1]}: best reward on search-val, the difference to random search\n')
        print(table(compare(figures_of(rows, 'searcher', 'reward'), 'random')))
        if group in tests:
            figures = figures_of(tests[group], study.column, 'mAP')
            found = [row['searcher'] for row in rows]
            for baseline in study.references:
                if baseline in figures:
                    print(f'\nmAP on test, the difference to {baseline}\n\n{table(compare(figures, baseline))}\n')
                    print(verdict(figures, baseline, found))


def figures_of(rows: list[dict[str, str]], name: str, figure: str) -> dict[str, dict[int, float]]:
    """Return name -> seed -> figure."""
    return {of[0]: {int(row['seed']): float(row[figure]) for row in part} for of, part in groups(rows, name).items()}


def verdict(figures: Mapping[str, Mapping[int, float]], baseline: str, searchers: Sequence[str]) -> str:
    """Say what searches found that differs from a baseline, by paired t-tests that are not corrected for their number.

    Args:
        figures: Architecture -> seed -> mAP on test.
        baseline: One of the architectures.
        searchers: Those of the architectures that a search has found.
    """
    found = [one for one in compare(figures, baseline) if one.name in searchers and one.name != baseline]
    proven = [comparison for comparison in found if comparison.p is not None and comparison.p < 1 - LEVEL]
    if not proven:
        return f'There is no evidence that what a search found is better or worse than {baseline}.'
    facts = [f'the best of {comparison.name} is {"better" if comparison.difference.mean > 0 else "worse"} '
             f'({comparison.difference.mean:+.4f}, p = {comparison.p:.2g})' for comparison in proven]
    return (f'There is evidence of a difference to {baseline} for {len(proven)} of {len(found)} searches, not '
            f'corrected for the number of tests: {"; ".join(facts)}.')


def parse(study: Study) -> argparse.Namespace:
    parser = parser_of(study.description, study.results, study.work_dir)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2, 3, 4])
    add_detection_data(parser)
    parser.add_argument('--trials', type=int, help=f'of each search; default: {study.trials or "as the config says"}')
    parser.add_argument('--slots', type=int, default=1, help='candidates scored at once, one thread each')
    study.add_arguments(parser)
    return parser.parse_args()


def main(study: Study) -> int:
    """Measure what is missing, or print what is there."""
    args = parse(study)
    if args.show:
        show(study, args.results)
        return 0
    config = open_data(study, args, args.work_dir / study.label(args) / 'prepared')
    recipe = digest(recipe_of(config), config.search.budget.trials, study.searchers(config))
    for number in args.seeds:
        seed = Seed(study, args, recipe, number)
        seed.confirm(seed.search())
    return 0
