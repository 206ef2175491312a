"""What the benchmarks share: their commands, configs, prepared as a search prepares them, and tables that grow."""

import argparse
import csv
import fcntl
from pathlib import Path
from typing import Any, Collection, Mapping, Optional

import numpy as np
from mmengine.config import Config

from nasdet.cli import CfgOptions
from nasdet.config import load_config, network_of
from nasdet.datasets import prepare
from nasdet.estimators.base import Estimator
from nasdet.estimators.fingerprint import digest, hash_config, hash_file, hash_part
from nasdet.genotype import Genotype
from nasdet.registry import ESTIMATORS, SPACES, build
from nasdet.spaces.base import Space

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
WORK_DIR = Path('work_dirs') / 'benchmarks'


def parser_of(description: str, results: Path, work_dir: Path) -> argparse.ArgumentParser:
    """Return a parser of what all benchmarks take that write tables.

    Args:
        description: Of the command.
        results: The table, or the folder of the tables, where the command does not say.
        work_dir: Likewise where it works.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE',
                        help='settings of the shipped configs to override, for a quick try')
    parser.add_argument('--show', action='store_true', help='measure nothing, print what is there')
    parser.add_argument('--results', type=Path, default=results, help='the table, or the folder of the tables')
    parser.add_argument('--work-dir', type=Path, default=work_dir)
    return parser


def open_config(path: Path, folder: Path, options: Optional[Mapping[str, Any]] = None) -> Config:
    """Return a search config prepared as a search prepares it, and leave it as ``FOLDER/config.py``.

    Args:
        path: Of the config.
        folder: The splits go to its ``data/``.
        options: Settings to override, as of ``--cfg-options``.
    """
    config = prepare(load_config(str(path), options), folder)
    folder.mkdir(parents=True, exist_ok=True)
    written, text = folder / 'config.py', config.pretty_text
    if not written.exists() or written.read_text() != text:     # a worker may be reading it
        written.write_text(text)
    return config


def build_estimator(config: Config, work_dir: Path) -> tuple[Space, Estimator]:
    """Return the space and the estimator of a prepared config."""
    space = build(SPACES, config.search.space)
    return space, build(ESTIMATORS, config.search.estimator, space=space, config=network_of(config), work_dir=work_dir)


def recipe_of(config: Config) -> str:
    """Return a short hash of what a genotype's score depends on in a prepared config, the supernet's seed apart.

    Pretrained weights of the space enter by their content where the file exists.
    """
    search = config.search.to_dict()
    search['estimator'].pop('seed', None)
    return digest(hash_config(config, recipe=True), _with_contents(search['space']), search['estimator'])


def recipe_of_test(config: Config, leave_out: Collection[str], *more: Any) -> str:
    """Return a short hash of what a search, and the figures on test of what it finds, depend on, the seed apart.

    Args:
        config: Of the search, prepared.
        leave_out: Parts of ``search`` that change no figure, or that the dataloaders say already.
        *more: What else the figures depend on.
    """
    search = {name: part for name, part in config.search.to_dict().items() if name not in {'seed', *leave_out}}
    return digest(hash_config(config, recipe=True), hash_part(config.test_dataloader), search, *more)


def _with_contents(part: Any) -> Any:
    """Replace the checkpoints of ``init_cfg`` by the hashes of what they hold."""
    if isinstance(part, dict):
        plain = {name: _with_contents(inner) for name, inner in part.items()}
        if part.get('type') == 'Pretrained' and Path(part['checkpoint']).is_file():
            plain['checkpoint'] = hash_file(Path(part['checkpoint']))
        return plain
    return [_with_contents(inner) for inner in part] if isinstance(part, (list, tuple)) else part


def open_recipe(path: Path, folder: Path, options: Mapping[str, Any]) -> tuple[Config, str]:
    """Return a config on the built-in data, prepared in ``FOLDER/RECIPE``, and its recipe.

    So what runs with one recipe never reads what a later edit of the config has written.

    Args:
        path: Of the config.
        folder: Of all recipes; the pictures are there once.
        options: Settings to override.
    """
    options = {'search.data.root': str(folder.absolute()), **options}
    recipe = recipe_of(open_config(path, folder / 'prepared', options))
    return open_config(path, folder / recipe, options), recipe


def draw(space: Space, index: int) -> Genotype:
    """Return one of the benchmarks' genotypes, every decision drawn uniformly; number ``index`` is always the same."""
    return space.sample(np.random.default_rng((0, index)))


def read_rows(path: Path, **cells: Any) -> list[dict[str, str]]:
    """Return the rows of a table that have some cells, compared as text; none where there is no table."""
    if not path.exists():
        return []
    wanted = {column: str(value) for column, value in cells.items()}
    with open(path, newline='') as file:
        return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a table, also while other processes do.

    Raises:
        ValueError: The table has other columns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+', newline='') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        columns = next(csv.reader(file), [])
        writer = csv.DictWriter(file, list(row), lineterminator='\n')
        if not columns:
            writer.writeheader()
        elif columns != list(row):
            raise ValueError(f'{path} has the columns {columns}, the new row {list(row)}: move that file away')
        writer.writerow(row)


def groups(rows: list[dict[str, str]], *columns: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """Return rows by the values of some columns, in the order in which these first appear."""
    found: dict[tuple[str, ...], list] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in columns), []).append(row)
    return found
