"""The finalists of a search and its baselines: several seeds from scratch, one look at the test split."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

from mmengine.config import Config, ConfigDict

from nasdet.confirm.comparison import compare, sentence, table
from nasdet.confirm.finalists import Candidate, check_buildable, choose
from nasdet.console import Bar
from nasdet.datasets.coco import read_json, write_json
from nasdet.datasets.tasks import task_of
from nasdet.errors import SearchError
from nasdet.files import write_whole
from nasdet.history.existing import ExistingSearch
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir
from nasdet.objective import Objective

COLUMNS = ('architecture', 'key', 'seed', 'metric', 'figure')
LOG_LINES = 15


class Confirmation:
    """The confirmation of one search, in ``WORK_DIR/confirm/``.

    Args:
        folder: The search's.
        config: Prepared.
        epochs: Of each training; None: those of the config.

    Raises:
        SearchError: There is no network to train, the search has seen the test split, or what lies in ``confirm/``
            was made in another way.
    """

    def __init__(self, folder: WorkDir, config: Config, epochs: Optional[int] = None):
        if 'model' not in config:
            raise SearchError(f'{folder.path}: this search has no network to train, so nothing to confirm')
        self.folder = folder.path / 'confirm'
        self.config = config
        self.metric_names = list(Objective.from_cfg(config.search).goals)
        task_of(config).refuse_seen(config)
        self.epochs = epochs or _epochs(config)
        self._check_protocol()

    def _check_protocol(self) -> None:
        """Refuse to mix figures of two ways of training: who tries several chooses by the test split."""
        path = self.folder / 'protocol.json'
        protocol = dict(epochs=self.epochs, **task_of(self.config).digests(self.config))
        stored = read_json(path) if path.exists() else protocol
        for name, value in protocol.items():
            if stored[name] != value:
                raise SearchError(f'{self.folder} was made with {name} {stored[name]}, this is {value}: '
                                  f'use the former, or move that folder away')
        write_json(path, protocol)

    def run(self, candidates: Sequence[Candidate], seeds: Sequence[int]) -> list[dict]:
        """Train and measure every candidate with every seed, one after the other, skipping what is done.

        Args:
            candidates: Their order is that of the table.
            seeds: Of the trainings; all candidates run with one before any runs with the next.

        Returns:
            All rows of ``results.csv``.
        """
        path = self.folder / 'results.csv'
        rows = read_rows(path)
        done = {(row['architecture'], row['key'], int(row['seed'])) for row in rows}
        jobs = [(candidate, seed) for seed in seeds for candidate in candidates]
        left = [(candidate, seed) for candidate, seed in jobs if (candidate.name, candidate.key, seed) not in done]
        finished = len(jobs) - len(left)
        with Bar('confirm', len(jobs), finished) as bar:
            for number, (candidate, seed) in enumerate(left, finished + 1):
                rows.append(self._row(candidate, seed, self._measure(candidate, seed)))
                write_rows(path, rows)
                bar.update(number, f'{candidate.name}, seed {seed}')
        return rows

    def _row(self, candidate: Candidate, seed: int, metrics: dict) -> dict:
        measured = [name for name in self.metric_names if name in metrics]
        if not measured:
            raise SearchError(f'the test evaluator gives no {self.metric_names[0]}, only {", ".join(sorted(metrics))}')
        return dict(architecture=candidate.name, key=candidate.key, seed=seed, metric=measured[0],
                    figure=repr(metrics[measured[0]]))

    def _measure(self, candidate: Candidate, seed: int) -> dict:
        """Return the test metrics of one run, in a process of its own unless an earlier one has left them."""
        from nasdet.confirm.run import RESULT
        folder = self.folder / candidate.name / f'seed-{seed}'
        folder.mkdir(parents=True, exist_ok=True)
        config = run_config(self.config, candidate.model).pretty_text
        path = folder / 'config.py'
        if path.exists() and path.read_text() != config:
            raise SearchError(f'{path} is of another network or schedule: move {folder} away')
        if not (folder / RESULT).exists():
            write_whole(path, config.encode())
            self._train(candidate.name, seed, folder)
        return read_json(folder / RESULT)['metrics']

    def _train(self, name: str, seed: int, folder: Path) -> None:
        command = [sys.executable, '-m', 'nasdet.confirm.run', str(folder), '--epochs', str(self.epochs),
                   '--seed', str(seed), '--parent', str(os.getpid())]
        search_path = os.pathsep.join(entry for entry in sys.path if entry)     # where custom_imports are found
        output = folder / 'output.txt'
        with open(output, 'w') as file:
            status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                    env={**os.environ, 'PYTHONPATH': search_path}).returncode
        if status:
            end = '\n'.join(output.read_text().splitlines()[-LOG_LINES:])
            raise SearchError(f'{name}, seed {seed}: the training ended with status {status}:\n{end}\n'
                              f'Mend it, then run the same command again; what is done is kept.')


def run_config(config: Config, model: ConfigDict) -> Config:
    """Return the config of one run: all that the search saw to train on, and the test split to measure."""
    plain = Config({name: value for name, value in config.to_dict().items() if name != 'search'})
    plain.model = model
    task_of(plain).join_splits(plain)
    plain.val_dataloader = plain.val_evaluator = plain.val_cfg = None      # search-val is trained on here
    return plain


def _epochs(config: Config) -> int:
    from nasdet.training.runner import source_epochs
    try:
        return source_epochs(config)
    except ValueError as error:
        raise SearchError(str(error)) from error


def read_rows(path: Path) -> list[dict]:
    """Return the rows of ``results.csv``; none where it does not exist."""
    if not path.exists():
        return []
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Write ``results.csv``, never half of it, so that every line in it is whole."""
    text = io.StringIO(newline='')
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def summary(rows: Sequence[dict], candidates: Sequence[Candidate], epochs: int) -> str:
    """Return the table of all rows and what they say, in Markdown; all are compared to the first candidate."""
    original = candidates[0].name
    figures: dict[str, dict[int, float]] = {candidate.name: {} for candidate in candidates}
    for row in rows:
        figures.setdefault(row['architecture'], {})[int(row['seed'])] = float(row['figure'])
    comparisons = compare(figures, original)
    first = next(candidate.name for candidate in candidates if candidate.name.startswith('trial-'))
    found = next(comparison for comparison in comparisons if comparison.name == first)
    metric = rows[0]['metric']
    return (f'{metric} on the test split, each run trained from scratch for {epochs} epochs on search-train and '
            f'search-val.\n\n{table(comparisons)}\n\nDifference: to {original}, the {original} as it was before '
            f'the search, paired by seed; p: paired t-test, two-sided, not corrected for the number of rows.\n\n'
            f'{sentence(found, original, metric)}\n')


def main(args) -> int:
    """Run ``nasdet confirm WORK_DIR [--top-k 3] [--seeds 3] [--epochs N] [--baselines NAME ...]``."""
    from nasdet.report import write_report
    if args.seeds < 1:
        raise SearchError(f'--seeds is at least 1, not {args.seeds}')
    search = ExistingSearch(args.work_dir)
    folder = search.folder
    with folder:
        confirmation = Confirmation(folder, search.config, args.epochs)
        record = read_record(folder.history)
        candidates = choose(search.config, search.space, record, args.top_k, args.baselines or ())
        check_buildable(candidates)
        text = summary(confirmation.run(candidates, range(args.seeds)), candidates, confirmation.epochs)
        write_whole(confirmation.folder / 'README.md', f'# Confirmation\n\n{text}'.encode())
        report = write_report(folder.path)
    print(f'{text}\nruns: {confirmation.folder}\nreport: {report}')
    return 0
