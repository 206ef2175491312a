"""Where a config names its datasets and its metric."""

import copy
from typing import Any, Mapping, Sequence

from mmengine.config import Config

from nasdet.errors import SearchError

SPLITS = ('train', 'val', 'test')


def complete_dataloaders(cfg: Config) -> None:
    """Give a config that evaluates on one split only the same dataloader, and the loops, for the other one.

    Raises:
        SearchError: There is nothing to train or nothing to evaluate on.
    """
    if not cfg.get('train_dataloader'):
        raise SearchError('the config has no train_dataloader: base it on a config with a dataset')
    evaluated = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if not evaluated:
        raise SearchError('the config has neither val_dataloader nor test_dataloader: base it on a config with a '
                          'dataset')
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'] = copy.deepcopy(cfg.get(f'{split}_dataloader') or evaluated)
        cfg[f'{split}_cfg'] = cfg.get(f'{split}_cfg') or dict(type=f'{split.capitalize()}Loop')


def locate(dataloader: Mapping, split: str) -> tuple[Any, Any]:
    """Return ``(holder, key)`` of the innermost dataset; RepeatDataset and the like are looked through.

    Raises:
        SearchError: There is none, or several are joined.
    """
    holder, key = dataloader, 'dataset'
    while True:
        inner = holder.get(key) if isinstance(holder, Mapping) else holder[key]
        if not isinstance(inner, Mapping):
            raise SearchError(f'the config\'s {split}_dataloader has no dataset: base it on a config with one')
        if 'datasets' in inner:
            if len(inner['datasets']) != 1:
                raise SearchError(f'the config\'s {split}_dataloader joins {len(inner["datasets"])} datasets, but a '
                                  'search splits one: name a single dataset there')
            holder, key = inner['datasets'], 0
        elif 'dataset' in inner:
            holder, key = inner, 'dataset'
        else:
            return holder, key


def innermost(cfg: Mapping, split: str) -> Mapping:
    """Return the config of the dataset that a split reads, through any wrappers."""
    holder, key = locate(cfg[f'{split}_dataloader'], split)
    return holder[key]


def metric_of(cfg: Mapping, types: Sequence[str]) -> Mapping:
    """Return the first metric of a config that is one of some types; empty where there is none."""
    evaluators = cfg.get('val_evaluator') or cfg.get('test_evaluator') or []
    listed = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
    return next((evaluator for evaluator in listed if evaluator.get('type') in types), {})


def networks_of(cfg: Mapping) -> list[Mapping]:
    """Return the configs of the networks whose heads follow the data: the model, and a space's copy of it, if any."""
    space = (cfg.get('search') or {}).get('space') or {}
    return [cfg['model'], *([space['model']] if space.get('model') else [])]
