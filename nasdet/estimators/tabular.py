"""Scores looked up in a table of networks that somebody has trained already."""

import csv
from pathlib import Path
from typing import Collection, Mapping, Optional, Sequence, Union

from nasdet.estimators.base import Estimator
from nasdet.estimators.fingerprint import digest, hash_file
from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Evaluation
from nasdet.registry import ESTIMATORS
from nasdet.spaces.base import Space


@ESTIMATORS.register_module()
class TabularEstimator(Estimator):
    """Looks a genotype up in a CSV file, in which each row is one trained network.

    The space says which row a genotype is: ``space.row(genotype) -> str``.

    Args:
        space: With ``row``.
        table: The CSV file, with a header.
        key: Column that holds what ``space.row`` returns.
        metrics: Columns that become metrics, or a dict from metric names to columns.
        seconds: Column with the training time that a row stands for, in seconds; it enters ``cost['seconds']``,
            nothing waits for it.
        config: Not used.
        work_dir: Not used.

    Raises:
        ValueError: No such file, no such column, or two rows of one key.
    """

    requires = ('row',)

    def __init__(self, space: Space, table: Union[str, Path], key: str,
                 metrics: Union[Sequence[str], Mapping[str, str]], seconds: Optional[str] = None, config=None,
                 work_dir=None):
        super().__init__(space, config, work_dir)
        self.table = Path(table)
        self.key = key
        self.columns = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
        self.seconds = seconds
        self.rows = self._read()

    def _read(self) -> dict[str, dict[str, str]]:
        if not self.table.is_file():
            raise ValueError(f'there is no table {self.table.absolute()}')
        wanted = {self.key, *self.columns.values()} | ({self.seconds} if self.seconds else set())
        rows: dict[str, dict[str, str]] = {}
        with open(self.table, newline='') as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if not wanted <= set(columns):
                raise ValueError(f'{self.table} has no column {sorted(wanted - set(columns))[0]!r}, only '
                                 f'{", ".join(columns)}')
            for row in reader:
                if row[self.key] in rows:
                    raise ValueError(f'{self.table} has two rows with {self.key} = {row[self.key]!r}')
                rows[row[self.key]] = {name: row[name] for name in wanted}
        return rows

    @property
    def metric_names(self) -> Collection[str]:
        """Names of the metrics that the columns become."""
        return self.columns

    def evaluate(self, genotype: Genotype, budget: Budget, seed: int, folder: Optional[Path] = None) -> Evaluation:
        """Look a genotype up; budget and seed mean nothing to a table.

        Args:
            genotype: Of the space.
            budget: Not used.
            seed: Not used.
            folder: Not used.

        Returns:
            The row's metrics.

        Raises:
            ValueError: The table has no such row, or no number there.
        """
        name = self.space.row(genotype)
        if name not in self.rows:
            raise ValueError(f'{self.table} has no row with {self.key} = {name!r}')
        row = self.rows[name]
        metrics = {metric: float(row[column]) for metric, column in self.columns.items()}
        seconds = float(row[self.seconds]) if self.seconds else 0.0
        return Evaluation(metrics=metrics, cost=dict(seconds=seconds), fidelity=dict(table=self.table.name))

    @property
    def fingerprint(self) -> str:
        """Hash of the table and of the columns used."""
        return digest('TabularEstimator', hash_file(self.table), self.key, self.columns, self.seconds)
