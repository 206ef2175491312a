"""Points a detector config at the three splits of a search."""

import colorsys
import copy
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

from mmengine.config import Config, ConfigDict

from nasdet.datasets.checks import check_pictures
from nasdet.datasets.coco import read_json, write_splits
from nasdet.datasets.metrics import DEFAULT_ITEMS, RawCocoMetric, check_kinds
from nasdet.datasets.sources import Source, open_source
from nasdet.errors import SearchError

IMPORTS = ('nasdet.models', 'nasdet.datasets')
# what belongs to the data that a dataset config named before, not to how pictures are read
OLD_DATA = ('data_root', 'ann_file', 'data_prefix', 'metainfo', 'indices', 'proposal_file', 'img_subdir', 'ann_subdir')


def prepare(cfg: Config, work_dir) -> Config:
    """Return a copy of a search config whose dataloaders and evaluators point at the search's splits.

    ``train_dataloader`` reads search-train, ``val_dataloader`` search-val (the reward), ``test_dataloader`` test;
    pipelines, samplers and dataset wrappers stay as they are. The splits are written to
    ``WORK_DIR/data/{train,val,trainval,test}.json``; trainval is what a search may see. Every ``num_classes`` of the
    model becomes that of the data, and ``custom_imports`` names what the config needs of nasdet.

    Args:
        cfg: A detector config with ``search.data`` as :func:`nasdet.datasets.sources.open_source` takes it; where
            that is absent, the config's own datasets are split.
        work_dir: The search's folder.

    Raises:
        SearchError: A fault of the data or of the config, in one sentence.
    """
    prepared = copy.deepcopy(cfg)
    _complete_dataloaders(prepared)
    folder = Path(work_dir).absolute() / 'data'
    data = dict(prepared.get('search', {}).get('data') or dict(type='config'))
    own = dict(train_dataset=_innermost(prepared, 'train'), test_dataset=_innermost(prepared, 'test'))
    source = open_source(data, own, folder)
    files = write_splits(folder, source.train, source.val, source.test)
    _check_masks(prepared, source)
    metrics = _metrics(prepared)
    for split, image_dir in dict(train=source.image_dir, val=source.image_dir, test=source.test_image_dir).items():
        holder, key = _locate(prepared[f'{split}_dataloader'], split)
        holder[key] = _dataset(holder[key], files[split], image_dir, source.classes, split != 'train')
    for split in ('val', 'test'):
        prepared[f'{split}_evaluator'] = {**metrics, 'ann_file': str(files[split])}
        prepared[f'{split}_cfg'] = prepared.get(f'{split}_cfg') or dict(type=f'{split.capitalize()}Loop')
    _set_num_classes(prepared.model, len(source.classes))
    _add_imports(prepared)
    return prepared


def check_splits(cfg: Config) -> None:
    """Check the pictures that a prepared config trains on and takes its reward from, as :func:`prepare` did once.

    Raises:
        SearchError: The annotations are missing, or a picture is missing, empty or unreadable, by its name.
    """
    for split in ('train', 'val'):
        dataset = _innermost(cfg, split)
        if not Path(dataset['ann_file']).is_file():
            raise SearchError(f'{dataset["ann_file"]}, the {split} split of this search, does not exist any more: '
                              f'restore it, or choose another --work-dir')
        check_pictures(read_json(dataset['ann_file']), dataset['data_prefix']['img'])


def metric_names(cfg: Config) -> Optional[list[str]]:
    """Return the names of the figures that a prepared config's ``val_evaluator`` gives; None where it is not ours.

    Raises:
        ValueError: A metric that :class:`RawCocoMetric` does not know.
    """
    evaluator = cfg.get('val_evaluator')
    if not isinstance(evaluator, Mapping) or evaluator.get('type') != 'RawCocoMetric':
        return None
    kinds = evaluator.get('metric', 'bbox')
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    check_kinds(kinds)
    names = [f'{kind}_{item}' for kind in kinds for item in evaluator.get('metric_items') or DEFAULT_ITEMS]
    if evaluator.get('classwise'):
        names += [f'{name}_precision' for name in _innermost(cfg, 'val')['metainfo']['classes']]
    return [f'{evaluator.get("prefix") or RawCocoMetric.default_prefix}/{name}' for name in names]


def _complete_dataloaders(cfg: Config) -> None:
    """Give a config that evaluates on one split only the same dataloader for the other one."""
    if not cfg.get('train_dataloader'):
        raise SearchError('the config has no train_dataloader: base it on a detector config with a dataset')
    evaluated = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if not evaluated:
        raise SearchError('the config has neither val_dataloader nor test_dataloader: base it on a detector config '
                          'with a dataset')
    for name in ('val_dataloader', 'test_dataloader'):
        cfg[name] = copy.deepcopy(cfg.get(name) or evaluated)


def _locate(dataloader: Mapping, split: str) -> tuple[Any, Any]:
    """Return ``(holder, key)`` of the innermost dataset; RepeatDataset and the like are looked through."""
    holder, key = dataloader, 'dataset'
    while True:
        inner = holder.get(key) if isinstance(holder, Mapping) else holder[key]
        if not isinstance(inner, Mapping):
            raise SearchError(f'the config\'s {split}_dataloader has no dataset: base it on a detector config with one')
        if 'datasets' in inner:
            if len(inner['datasets']) != 1:
                raise SearchError(f'the config\'s {split}_dataloader joins {len(inner["datasets"])} datasets, but a '
                                  'search splits one: name a single dataset there')
            holder, key = inner['datasets'], 0
        elif 'dataset' in inner:
            holder, key = inner, 'dataset'
        else:
            return holder, key


def _innermost(cfg: Config, split: str) -> Mapping:
    holder, key = _locate(cfg[f'{split}_dataloader'], split)
    return holder[key]


def _dataset(old: Mapping, ann_file: Path, image_dir: Path, classes: tuple, test_mode: bool) -> ConfigDict:
    kept = {key: value for key, value in old.items() if key not in OLD_DATA}
    metainfo = dict(classes=classes, palette=_palette(len(classes)))
    return ConfigDict({**kept, 'type': 'CocoDataset', 'ann_file': str(ann_file),
                       'data_prefix': dict(img=str(image_dir)), 'metainfo': metainfo, 'test_mode': test_mode})


def _palette(count: int) -> list[tuple[int, int, int]]:
    colours = (colorsys.hsv_to_rgb(index / count, 0.85, 0.95) for index in range(count))
    return [tuple(round(255 * value) for value in colour) for colour in colours]


def _metrics(cfg: Config) -> dict:
    """Return the config's COCO metric as ours, with all that it asks for but files."""
    evaluators = cfg.get('val_evaluator') or cfg.get('test_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        if evaluator.get('type') in ('CocoMetric', 'RawCocoMetric'):
            dropped = ('type', 'ann_file', 'format_only', 'outfile_prefix', 'backend_args')
            return dict(type='RawCocoMetric', **{k: v for k, v in evaluator.items() if k not in dropped})
    return dict(type='RawCocoMetric', metric='bbox')


def _check_masks(cfg: Config, source: Source) -> None:
    """Refuse to train masks on data that has none."""
    pipeline = _innermost(cfg, 'train').get('pipeline') or []
    wanted = any(step.get('with_mask') for step in pipeline)
    for annotation in source.train['annotations'] if wanted else ():
        if not annotation.get('segmentation'):
            raise SearchError(f'the config trains masks (with_mask=True), but annotation {annotation["id"]} has no '
                              'segmentation: take a detector without masks, or data with them')


def _set_num_classes(model: Mapping, count: int) -> None:
    heads = [part for part in _dicts(model) if 'num_classes' in part]
    if not heads:
        raise SearchError(f'no head of the model {model.get("type")} has num_classes: a search needs a detector that '
                          'classifies')
    for head in heads:
        head['num_classes'] = count


def _dicts(part: Any, name: Optional[str] = None) -> Iterator[dict]:
    """Yield every dict of a model config; a backbone's and an RPN's classes are not those of the data."""
    if isinstance(part, Mapping):
        if name in ('backbone', 'rpn_head'):
            return
        yield part
        for key, value in part.items():
            yield from _dicts(value, key)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from _dicts(value, name)


def _add_imports(cfg: Config) -> None:
    custom = cfg.get('custom_imports') or {}
    named = custom.get('imports') or []
    named = [named] if isinstance(named, str) else list(named)
    cfg.custom_imports = dict(imports=named + [name for name in IMPORTS if name not in named],
                              allow_failed_imports=custom.get('allow_failed_imports', False))
