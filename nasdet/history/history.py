"""The history: every event of a search in one SQLite file, and the only state that a search has."""

import json
import os
import socket
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Iterator, Optional
from urllib.parse import quote

from nasdet.genotype import Genotype
from nasdet.protocol import Budget, Outcome, Proposal, Result

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS trials (
    trial INTEGER PRIMARY KEY, key TEXT, genotype TEXT, tokens TEXT, meta TEXT, budget TEXT, seed INTEGER,
    source TEXT, status TEXT, metrics TEXT, costs TEXT, reward TEXT, error TEXT);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, kind TEXT, trial INTEGER, time REAL, UNIQUE (kind, trial));
CREATE TABLE IF NOT EXISTS attempts (
    trial INTEGER, attempt INTEGER, started REAL, seconds REAL, status TEXT, error TEXT, host TEXT, pid INTEGER,
    PRIMARY KEY (trial, attempt));
CREATE TABLE IF NOT EXISTS snapshots (seq INTEGER PRIMARY KEY, state TEXT);
"""
COLUMNS = 'trial, key, genotype, tokens, meta, budget, seed, source, status, metrics, costs, reward, error'
EVALUATED, REFUSED, REUSED, STEP = 'evaluated', 'refused', 'reused', 'step'
SNAPSHOTS_KEPT = 2


@dataclass(frozen=True)
class Trial:
    """One row of the history.

    Args:
        trial: Number, from 0.
        key: The space's key of the genotype.
        proposal: As the searcher made it.
        seed: Of the evaluation.
        source: ``'evaluated'``, ``'refused'`` (by a cost), ``'reused:7'`` (told the result of trial 7) or ``'step'``
            (of a training that searches, on the way to its candidates, which are ``'evaluated'``).
        status: ``'running'`` until told, then the result's.
        result: What the searcher was told; before that it holds the costs, and why a proposal was refused.
    """

    trial: int
    key: str
    proposal: Proposal
    seed: int
    source: str = EVALUATED
    status: str = 'running'
    result: Result = field(default_factory=lambda: Result('running'))

    @property
    def reused_from(self) -> Optional[int]:
        """Number of the trial whose result this one is told, or None."""
        return int(self.source.split(':')[1]) if self.source.startswith(REUSED) else None


class History:
    """Reads and writes ``history.sqlite``, one transaction an event.

    Args:
        path: The file; made where absent.
        durable: True also survives a power cut (synchronous=FULL); False a killed process.
        read_only: Open for a report.
    """

    def __init__(self, path: Path, durable: bool = False, read_only: bool = False):
        self.path = Path(path)
        mode = '?mode=ro' if read_only else ''
        self._db = sqlite3.connect(f'file:{quote(str(self.path))}{mode}', uri=True, isolation_level=None)
        self.journal = 'existing'
        if not read_only:
            self.journal = 'delete' if _on_network(self.path) else 'wal'
            self._db.execute(f'PRAGMA journal_mode={self.journal}')
            self._db.execute(f'PRAGMA synchronous={"FULL" if durable or self.journal == "delete" else "NORMAL"}')
            self._db.executescript(TABLES)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- meta

    def meta(self, key: str) -> Optional[object]:
        """Return a stored JSON value, or None."""
        row = self._db.execute('SELECT value FROM meta WHERE key = ?', (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_meta(self, key: str, value: object) -> None:
        """Store a JSON value."""
        self._db.execute('INSERT OR REPLACE INTO meta VALUES (?, ?)', (key, json.dumps(value)))

    # ---- events

    def asked(self, trial: Trial) -> None:
        """Record that a proposal was accepted, with all that was decided with it."""
        proposal, result = trial.proposal, trial.result
        row = (trial.trial, trial.key, proposal.genotype.to_json(), json.dumps(proposal.tokens),
               json.dumps(proposal.meta), json.dumps(asdict(proposal.budget)), trial.seed, trial.source, trial.status,
               json.dumps(result.metrics), json.dumps(result.costs), json.dumps(result.reward), result.error)
        with self._transaction():
            self._db.execute(f'INSERT INTO trials VALUES ({",".join("?" * len(row))})', row)
            self._event('asked', trial.trial)

    def told(self, trial: int, result: Result) -> None:
        """Record the result that the searcher is told."""
        row = (result.status, json.dumps(result.metrics), json.dumps(result.costs), json.dumps(result.reward),
               result.error, trial)
        with self._transaction():
            self._db.execute('UPDATE trials SET status = ?, metrics = ?, costs = ?, reward = ?, error = ? '
                             'WHERE trial = ?', row)
            self._event('told', trial)

    def events(self, after: int = 0) -> Iterator[tuple[int, str, Trial]]:
        """Yield (sequence number, 'asked' or 'told', trial) in the order in which they happened."""
        columns = ', '.join(f't.{name}' for name in COLUMNS.split(', '))
        query = (f'SELECT e.seq, e.kind, {columns} FROM events e JOIN trials t USING (trial) '
                 f'WHERE e.seq > ? ORDER BY e.seq')
        for seq, kind, *row in self._db.execute(query, (after,)):
            yield seq, kind, _trial(row)

    def trials(self) -> Iterator[Trial]:
        """Yield all trials in the order of their numbers."""
        for row in self._db.execute(f'SELECT {COLUMNS} FROM trials ORDER BY trial'):
            yield _trial(row)

    def trial(self, number: int) -> Optional[Trial]:
        """Return one trial, or None."""
        row = self._db.execute(f'SELECT {COLUMNS} FROM trials WHERE trial = ?', (number,)).fetchone()
        return _trial(row) if row else None

    def told_trials(self) -> set[int]:
        """Return the numbers of the trials whose result has been told."""
        return {trial for (trial,) in self._db.execute("SELECT trial FROM events WHERE kind = 'told'")}

    # ---- attempts

    def begin_attempt(self, trial: int, attempt: int) -> None:
        """Record that an attempt at a trial was started here and now."""
        self._db.execute('INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, NULL, ?, NULL, ?, ?)',
                         (trial, attempt, time.time(), 'running', socket.gethostname(), os.getpid()))

    def end_attempt(self, trial: int, attempt: int, seconds: float, status: str, error: str) -> None:
        """Record how an attempt ended."""
        self._db.execute('UPDATE attempts SET seconds = ?, status = ?, error = ? WHERE trial = ? AND attempt = ?',
                         (seconds, status, error, trial, attempt))

    def attempts(self, trial: int) -> list[tuple[int, str]]:
        """Return (attempt, status) of a trial, in order."""
        query = 'SELECT attempt, status FROM attempts WHERE trial = ? ORDER BY attempt'
        return list(self._db.execute(query, (trial,)))

    def outcome(self, trial: int, attempt: int) -> Outcome:
        """Return how an attempt ended; its evaluation is not kept here."""
        query = 'SELECT status, error, seconds FROM attempts WHERE trial = ? AND attempt = ?'
        status, error, seconds = self._db.execute(query, (trial, attempt)).fetchone()
        return Outcome(trial, status, None, error, seconds)

    def evaluation_seconds(self) -> dict[int, float]:
        """Return the wall seconds of each trial, all its attempts together."""
        return dict(self._db.execute('SELECT trial, SUM(COALESCE(seconds, 0)) FROM attempts GROUP BY trial'))

    # ---- snapshots

    def snapshot(self, state: dict) -> None:
        """Store the searcher's state after the last event; only shortens replay."""
        with self._transaction():
            self._db.execute('INSERT OR REPLACE INTO snapshots SELECT MAX(seq), ? FROM events', (json.dumps(state),))
            self._db.execute('DELETE FROM snapshots WHERE seq NOT IN '
                             '(SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)', (SNAPSHOTS_KEPT,))

    def last_snapshot(self) -> tuple[int, Optional[dict]]:
        """Return (sequence number, state) of the newest snapshot, or (0, None)."""
        row = self._db.execute('SELECT seq, state FROM snapshots ORDER BY seq DESC LIMIT 1').fetchone()
        return (row[0], json.loads(row[1])) if row else (0, None)

    def _event(self, kind: str, trial: int) -> None:
        self._db.execute('INSERT INTO events (kind, trial, time) VALUES (?, ?, ?)', (kind, trial, time.time()))

    def _transaction(self):
        self._db.execute('BEGIN IMMEDIATE')
        return self._db     # as a context manager it commits, or rolls back on an exception


def _trial(row) -> Trial:
    number, key, genotype, tokens, meta, budget, seed, source, status, metrics, costs, reward, error = row
    proposal = Proposal(Genotype.from_json(genotype), tuple(json.loads(tokens)), Budget(**json.loads(budget)),
                        json.loads(meta))
    reward = json.loads(reward)
    result = Result(status, tuple(reward) if isinstance(reward, list) else reward, json.loads(metrics),
                    json.loads(costs), error)
    return Trial(number, key, proposal, seed, source, status, result)


def _on_network(path: Path) -> bool:
    """Return whether the file lies on NFS, whose locks do not carry SQLite's write-ahead log."""
    mounts = Path('/proc/mounts')
    if not mounts.exists():
        return False
    folder = f'{path.resolve().parent}/'
    points = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    holding = [(len(point), kind) for point, kind in points if folder.startswith(point.rstrip('/') + '/')]
    return bool(holding) and max(holding)[1].startswith('nfs')
