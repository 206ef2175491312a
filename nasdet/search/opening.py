"""Opens the work dir of a search: makes it or goes on in it, holds it, and logs to it."""

import copy
import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Optional, TypeVar

from mmengine.config import Config

from nasdet.errors import SearchError
from nasdet.files import write_whole
from nasdet.history import History
from nasdet.history.workdir import WorkDir, check_identity
from nasdet.search.settings import check_settings

# What may change when a search is taken up again: where and how much it runs, and what it shows.
MUTABLE_SEARCH = ('engine', 'budget', 'control', 'durable')
MUTABLE_CONFIG = ('work_dir', 'default_hooks', 'log_level', 'log_processor', 'vis_backends', 'visualizer', 'env_cfg',
                  'launcher', 'resume', 'load_from')
logger = logging.getLogger('nasdet.search')
AnySearch = TypeVar('AnySearch')


def open_search(make: Callable[[Config, WorkDir, History], AnySearch], cfg: Config,
                work_dir: Optional[str] = None) -> AnySearch:
    """Open a work dir for a config: begin a search in it, or go on with the one that is there.

    Args:
        make: Makes the search of the prepared config, the work dir, held by this process, and its open history.
        cfg: A network's config with ``search``.
        work_dir: Default ``cfg.work_dir``.

    Raises:
        SearchError: Whatever is wrong with config, data or folder, in one sentence.
    """
    check_settings(cfg)
    if not (work_dir or cfg.get('work_dir')):
        raise SearchError('no work dir: give --work-dir')
    folder = WorkDir(work_dir or cfg.work_dir)
    with ExitStack() as on_error:
        on_error.enter_context(folder)
        history = History(folder.history, durable=cfg.search.get('durable', False))
        on_error.callback(history.close)
        _log_to(folder.log)
        logger.info('history: %s, journal %s', folder.history, history.journal)
        config = _open(cfg, folder, history)
        search = make(config, folder, history)
        write_whole(folder.config, config.pretty_text.encode())
        history.set_meta('identity', identity(cfg))     # only now: a config that is refused binds no folder
        on_error.pop_all()
    return search


def _open(cfg: Config, folder: WorkDir, history: History) -> Config:
    """Return the prepared config of a work dir, preparing it at the first time."""
    from nasdet.datasets import check_splits, prepare
    stored = history.meta('identity')
    with_data = 'model' in cfg and 'shared_dir' not in cfg.search
    if stored is not None:
        check_identity(stored, identity(cfg), folder.path)
        config = _with_changes(Config.fromfile(str(folder.config)), cfg)
        if with_data:
            check_splits(config)
    elif with_data:
        config = prepare(cfg, folder.path)
    else:
        config = copy.deepcopy(cfg)
    config.pop('work_dir', None)        # what is trained from the search's configs must not write to its folder
    return config


def _with_changes(config: Config, cfg: Config) -> Config:
    """Return a stored config with what may change as a given config has it, or has it no longer."""
    for stored, given, names in ((config, cfg, MUTABLE_CONFIG), (config.search, cfg.search, MUTABLE_SEARCH)):
        for name in names:
            stored.pop(name, None)
            if name in given:
                stored[name] = copy.deepcopy(given[name])
    return config


def identity(cfg: Config) -> dict:
    """Return what a work dir belongs to: the config without what may change on resume."""
    plain = {key: value for key, value in cfg.to_dict().items() if key not in MUTABLE_CONFIG}
    plain['search'] = {key: value for key, value in plain['search'].items() if key not in MUTABLE_SEARCH}
    return plain


class _LogFile(logging.FileHandler):
    """A log that ends the search where it cannot be written: a full disk is no detail."""

    def handleError(self, record):      # noqa: N802 - logging's name
        """Let the error through, which logging itself would only print."""
        raise sys.exc_info()[1]


def _log_to(path: Path) -> None:
    """Send what nasdet logs to the search's file, and its warnings to the terminal too."""
    package = logging.getLogger('nasdet')
    for handler in list(package.handlers):
        package.removeHandler(handler)
        handler.close()
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    package.addHandler(handler)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    package.addHandler(terminal)
    package.setLevel(logging.INFO)
    package.propagate = False
