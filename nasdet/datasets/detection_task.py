"""The data of a search for detectors: COCO files, each split one of them."""

import colorsys
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

import numpy as np
from mmengine.config import Config, ConfigDict

from nasdet.datasets.checks import check_pictures
from nasdet.datasets.coco import check_disjoint, read_json, write_splits
from nasdet.datasets.contents import hash_file
from nasdet.datasets.dataloaders import SPLITS, innermost, locate, metric_of, networks_of
from nasdet.datasets.metrics import DEFAULT_ITEMS, RawCocoMetric, check_kinds
from nasdet.datasets.resolution import set_resolution
from nasdet.datasets.sources import Source, open_source
from nasdet.errors import SearchError

NOUN = 'detector'
OBJECTIVE = 'coco/bbox_mAP'
__all__ = ['NOUN', 'OBJECTIVE', 'check_limit', 'check_splits', 'digests', 'join_splits', 'limited', 'metric_names',
           'point', 'read_as', 'refuse_seen', 'set_resolution', 'spread']
# what belongs to the data that a dataset config named before, not to how pictures are read
OLD_DATA = ('data_root', 'ann_file', 'data_prefix', 'metainfo', 'indices', 'proposal_file', 'img_subdir', 'ann_subdir')


def point(cfg: Config, work_dir: Path) -> None:
    """Point a config's dataloaders, evaluators and heads at the splits, which are written to ``WORK_DIR/data/``.

    Pipelines, samplers and dataset wrappers stay as they are. ``{train,val,trainval,test}.json`` are the splits;
    trainval is what a search may see. Every ``num_classes`` of the model becomes that of the data.

    Args:
        cfg: With three dataloaders and perhaps ``search.data``, as :func:`nasdet.datasets.sources.open_source` takes
            it; where that is absent, the config's own datasets are split. Changed in place.
        work_dir: The search's folder, absolute.

    Raises:
        SearchError: A fault of the data or of the config, in one sentence.
    """
    if cfg.model.get('type') == 'ImageClassifier':
        raise SearchError(f'an ImageClassifier is trained on labelled images, but the train_dataloader has a '
                          f'{innermost(cfg, "train").get("type")}: give it HandwrittenDigits, CIFAR, ImageFolder or '
                          f'NpzImages of nasdet.datasets')
    data = dict(cfg.get('search', {}).get('data') or dict(type='config'))
    own = dict(train_dataset=innermost(cfg, 'train'), test_dataset=innermost(cfg, 'test'))
    source = open_source(data, own, work_dir / 'data')
    files = write_splits(work_dir / 'data', source.train, source.val, source.test)
    _check_masks(cfg, source)
    metrics = _metrics(cfg)
    for split in SPLITS:
        image_dir = source.test_image_dir if split == 'test' else source.image_dir
        holder, key = locate(cfg[f'{split}_dataloader'], split)
        holder[key] = _dataset(holder[key], files[split], image_dir, source.classes, split != 'train')
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'] = {**metrics, 'ann_file': str(files[split])}
    for network in networks_of(cfg):
        _set_num_classes(network, len(source.classes))


def check_splits(cfg: Config) -> None:
    """Check the pictures that a prepared config trains on and takes its reward from, as :func:`point` did once.

    Raises:
        SearchError: The annotations are missing, or a picture is missing, empty or unreadable, by its name.
    """
    for split in ('train', 'val'):
        dataset = innermost(cfg, split)
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
        names += [f'{name}_precision' for name in innermost(cfg, 'val')['metainfo']['classes']]
    return [f'{evaluator.get("prefix") or RawCocoMetric.default_prefix}/{name}' for name in names]


def limited(dataset: Mapping, images: int) -> dict:
    """Return a dataset's config with its first ``images`` pictures only; all where there are fewer."""
    return {**dataset, 'indices': images}


def check_limit(dataset: Mapping, images: int) -> None:
    """Refuse to take more pictures than a split has: ValueError."""
    path = Path(dataset.get('data_root') or '') / dataset['ann_file']
    present = len(read_json(path)['images'])
    if not 1 <= images <= present:
        raise ValueError(f'{images} images asked for, but the split of {path} has {present}')


def read_as(dataset: Mapping, other: Mapping) -> dict:
    """Return a dataset's config that reads its pictures through the pipeline of another one, for an evaluation."""
    return {**dataset, 'pipeline': other['pipeline'], 'test_mode': True}


def spread(images: int, number: int) -> np.ndarray:
    """Return the indices of ``number`` of a split's images for batch norm statistics, evenly spread."""
    return np.linspace(0, images - 1, number).round().astype(int)


def join_splits(cfg: Config) -> None:
    """Make a prepared config train on all that the search saw: search-train and search-val."""
    innermost(cfg, 'train')['ann_file'] = str(_trainval(cfg))


def digests(cfg: Config) -> dict[str, str]:
    """Return hashes of what a prepared config's search saw (``trainval``) and of its ``test`` split."""
    return dict(trainval=hash_file(_trainval(cfg))[:16], test=hash_file(innermost(cfg, 'test')['ann_file'])[:16])


def refuse_seen(cfg: Config) -> None:
    """Refuse a test split that shares pictures with what the search has seen, by image id and by file name.

    Raises:
        SearchError: Names a shared one.
    """
    seen, unseen = read_json(_trainval(cfg)), read_json(innermost(cfg, 'test')['ann_file'])
    if (cfg.search.get('data') or {}).get('independent_ids'):    # equal names in two folders are two pictures
        seen, unseen = _with_folder(seen, innermost(cfg, 'train')), _with_folder(unseen, innermost(cfg, 'test'))
    check_disjoint(seen, unseen)


def _trainval(cfg: Config) -> Path:
    return Path(innermost(cfg, 'train')['ann_file']).with_name('trainval.json')


def _with_folder(coco: dict, dataset: Mapping) -> dict:
    folder = Path(dataset['data_prefix']['img']).resolve()
    return {**coco, 'images': [{**image, 'file_name': str(folder / image['file_name'])} for image in coco['images']]}


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
    metric = metric_of(cfg, ('CocoMetric', 'RawCocoMetric')) or dict(metric='bbox')
    dropped = ('type', 'ann_file', 'format_only', 'outfile_prefix', 'backend_args')
    return dict(type='RawCocoMetric', **{name: value for name, value in metric.items() if name not in dropped})


def _check_masks(cfg: Config, source: Source) -> None:
    """Refuse to train masks on data that has none."""
    pipeline = innermost(cfg, 'train').get('pipeline') or []
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
