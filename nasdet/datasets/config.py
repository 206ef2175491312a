"""Points a config at the three splits of a search: search-train, search-val (the reward) and test."""

import copy
from pathlib import Path
from typing import Optional

from mmengine.config import Config

from nasdet.datasets.dataloaders import complete_dataloaders
from nasdet.datasets.tasks import task_of

IMPORTS = ('nasdet.models', 'nasdet.datasets')


def prepare(cfg: Config, work_dir) -> Config:
    """Return a copy of a search config whose dataloaders and evaluators point at the search's splits.

    ``train_dataloader`` reads search-train, ``val_dataloader`` search-val (the reward), ``test_dataloader`` test. Every
    ``num_classes`` of the model becomes that of the data, ``search.objective`` is what the task has where the config
    names none, and ``custom_imports`` names what the config needs of nasdet.

    Args:
        cfg: A detector's or a classifier's config; ``point`` of the task's module says what ``search.data`` may be.
        work_dir: The search's folder.

    Raises:
        SearchError: A fault of the data or of the config, in one sentence.
    """
    prepared = copy.deepcopy(cfg)
    complete_dataloaders(prepared)
    task = task_of(prepared)
    task.point(prepared, Path(work_dir).absolute())
    if 'search' in prepared:
        prepared.search.setdefault('objective', task.OBJECTIVE)
    _add_imports(prepared)
    return prepared


def check_splits(cfg: Config) -> None:
    """Check the data that a prepared config trains on and takes its reward from, as :func:`prepare` did once.

    Raises:
        SearchError: Something is missing or unreadable, by its name.
    """
    task_of(cfg).check_splits(cfg)


def metric_names(cfg: Config) -> Optional[list[str]]:
    """Return the names of the figures that a prepared config's ``val_evaluator`` gives; None where it is not ours.

    Raises:
        ValueError: A metric that is not known.
    """
    return task_of(cfg).metric_names(cfg)


def _add_imports(cfg: Config) -> None:
    custom = cfg.get('custom_imports') or {}
    named = custom.get('imports') or []
    named = [named] if isinstance(named, str) else list(named)
    cfg.custom_imports = dict(imports=named + [name for name in IMPORTS if name not in named],
                              allow_failed_imports=custom.get('allow_failed_imports', False))
