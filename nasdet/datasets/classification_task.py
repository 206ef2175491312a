"""The data of a search for classifiers: labelled images, all three splits read by one dataset class."""

import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Mapping, Optional

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict

from nasdet.datasets.checks import check_files
from nasdet.datasets.classification_metrics import Accuracy
from nasdet.datasets.classification_splits import ClassificationDataset, StratifiedSubset, check_split, dataset_class
from nasdet.datasets.contents import digest
from nasdet.datasets.dataloaders import SPLITS, innermost, metric_of, networks_of
from nasdet.errors import SearchError

NOUN = 'classifier'
OBJECTIVE = 'accuracy/top1'
__all__ = ['NOUN', 'OBJECTIVE', 'check_limit', 'check_splits', 'digests', 'join_splits', 'limited', 'metric_names',
           'point', 'read_as', 'refuse_seen', 'set_resolution', 'spread']
OF_ONE_SPLIT = ('split', 'transforms')      # what the dataset configs of the three splits may say differently
COMPARED = 8                                # images of a split whose sizes are compared


def point(cfg: Config, work_dir: Path) -> None:
    """Point a config's dataloaders, evaluators and model at the splits; nothing is written.

    Transforms, samplers and batch sizes stay as they are, paths become absolute.

    Args:
        cfg: With three dataloaders. ``search.data`` is the config of a dataset (``dict(type='NpzImages', ...)``)
            without ``split`` and ``transforms``, and replaces what the dataloaders name; where it is absent, the
            dataloaders' own datasets, equal but for these two, are used. Changed in place.
        work_dir: Not used.

    Raises:
        SearchError: A fault of the data or of the config, in one sentence.
    """
    for split in SPLITS:
        dataloader = cfg[f'{split}_dataloader']
        dataloader['dataset'] = _dataset(cfg, split)
        dataloader.setdefault('collate_fn', dict(type='default_collate'))
    _check_equal(cfg)
    built = {split: _build(cfg, split) for split in SPLITS}
    for split, dataset in built.items():
        _check_sizes(split, dataset)
    _check_batch(cfg.train_dataloader, len(built['train']))
    classes = built['train'].metainfo['classes']
    metric = _metric(cfg, len(classes))
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'] = copy.deepcopy(metric)
    for network in networks_of(cfg):
        _set_num_classes(network, len(classes))


def check_splits(cfg: Config) -> None:
    """Read the images that a prepared config trains on and takes its reward from, as :func:`point` did once.

    Raises:
        SearchError: They are missing or unreadable.
    """
    for split in ('train', 'val'):
        _build(cfg, split)


def metric_names(cfg: Config) -> Optional[list[str]]:
    """Return the names of the figures that a config's ``val_evaluator`` gives; None where it is not ours."""
    evaluator = cfg.get('val_evaluator')
    if not isinstance(evaluator, Mapping) or evaluator.get('type') != 'Accuracy':
        return None
    metric = Accuracy(**{name: value for name, value in evaluator.items() if name != 'type'})
    return [f'{metric.prefix}/top{k}' for k in metric.topk]


def limited(dataset: Mapping, images: int) -> dict:
    """Return a dataset's config with ``images`` of its images only, the classes in equal shares."""
    return dict(type='StratifiedSubset', dataset=dataset, images=images)


def check_limit(dataset: Mapping, images: int) -> None:
    """Refuse to take more images than a split has, or fewer than classes: ValueError."""
    StratifiedSubset(dataset, images)


def read_as(dataset: Mapping, other: Mapping) -> dict:
    """Return a dataset's config that reads its images through the transforms of another one."""
    return {**dataset, 'transforms': other.get('transforms', ())}


def set_resolution(cfg: Config, side: int) -> None:
    """End the transforms of search-train and search-val with a resize to a longer side of ``side``.

    What comes before, such as a crop or Cutout, sees the images as ever, and so means the same at any resolution.

    Args:
        cfg: Prepared; changed in place.
        side: Pixels.
    """
    for split in ('train', 'val'):
        dataset = innermost(cfg, split)
        dataset['transforms'] = [*dataset.get('transforms', ()), dict(type='Resize', size=None, max_size=side)]


def spread(images: int, number: int) -> np.ndarray:
    """Return the indices of ``number`` of a split's images for batch norm statistics, evenly spread and then mixed.

    Folders are sorted by class, and a batch of one class would have statistics that no other batch has.
    """
    indices = np.linspace(0, images - 1, number).round().astype(int)
    return np.random.default_rng(0).permutation(indices)


def join_splits(cfg: Config) -> None:
    """Make a prepared config train on all that the search saw: search-train and search-val."""
    innermost(cfg, 'train')['split'] = 'trainval'


def digests(cfg: Config) -> dict[str, str]:
    """Return hashes of what a prepared config's search saw (``trainval``) and of its ``test`` split."""
    train, test = innermost(cfg, 'train'), innermost(cfg, 'test')
    return dict(trainval=_digest({**train, 'split': 'trainval'}), test=_digest(test))


def refuse_seen(cfg: Config) -> None:
    """Refuse a test split that shares images with what the search has seen.

    Raises:
        SearchError: Says which files.
    """
    _check_equal(cfg)
    _build(cfg, 'test')     # a dataset class refuses test files that are training files


def _dataset(cfg: Config, split: str) -> ConfigDict:
    """Return the config of a split's dataset, with absolute paths."""
    own = cfg[f'{split}_dataloader'].get('dataset') or {}
    if dataset_class(own) is None:
        raise SearchError(f'the {split}_dataloader of a classifier reads a dataset of nasdet.datasets without a '
                          f'wrapper, not {own.get("type")}')
    try:
        check_split(own.get('split', split))
    except ValueError as error:
        raise SearchError(f'{split}_dataloader.dataset: {error}') from error
    data = cfg.get('search', {}).get('data')
    source = {name: value for name, value in (own if data is None else data).items() if name not in OF_ONE_SPLIT}
    if dataset_class(source) is None:
        raise SearchError(f'search.data has the unknown type {source.get("type")!r}: {_suggestion(source.get("type"))}')
    for name in dataset_class(source).paths:
        if source.get(name) is not None:
            source[name] = str(Path(source[name]).expanduser().absolute())
    return ConfigDict({**source, 'split': split, 'transforms': list(own.get('transforms', ()))})


def _suggestion(kind: object) -> str:
    known = sorted(name for name in DATASETS.module_dict if dataset_class(dict(type=name)))
    near = get_close_matches(str(kind), known, n=1)
    return f'did you mean {near[0]!r}?' if near else f'a classifier knows {", ".join(known)}'


def _check_equal(cfg: Config) -> None:
    """Refuse three datasets that are split in different ways, and so could overlap."""
    train, *others = ({name: value for name, value in innermost(cfg, split).items() if name not in OF_ONE_SPLIT}
                      for split in SPLITS)
    for split, other in zip(SPLITS[1:], others, strict=True):
        for name in sorted(train.keys() | other.keys()):
            if train.get(name) != other.get(name):
                raise SearchError(f'{split}_dataloader.dataset has {name}={other.get(name)!r}, but that of '
                                  f'train_dataloader has {train.get(name)!r}: the splits could share images; give all '
                                  f'three the same, or set search.data')


def _build(cfg: Config, split: str) -> ClassificationDataset:
    dataset = innermost(cfg, split)
    what = f'the {split} split of {dataset["type"]}'
    try:
        built = DATASETS.build(dict(dataset))
    except Exception as error:      # noqa: BLE001 - whatever a reader of files raises, the data cannot be read
        raise SearchError(f'{what} cannot be read: {error or type(error).__name__}') from error
    missing = set(range(len(built.metainfo['classes']))) - set(built.labels.tolist())
    if len(built) == 0 or (missing and split == 'train'):
        name = built.metainfo['classes'][min(missing)]
        raise SearchError(f'{what} has {len(built)} images, and none of the class {name!r}: change the sizes of the '
                          f'splits, or the data')
    check_files(built.files())
    return built


def _check_sizes(split: str, dataset: ClassificationDataset) -> None:
    """Read a few images of a split, and refuse those that make no batch."""
    chosen = np.linspace(0, len(dataset) - 1, min(COMPARED, len(dataset))).round().astype(int)
    try:
        with torch.random.fork_rng(devices=[]):     # what a transform draws here shall change nothing
            sizes = {tuple(dataset[index]['inputs'].shape) for index in chosen}
    except Exception as error:      # noqa: BLE001 - a picture, or a transform of any library
        raise SearchError(f'an image of the {split} split cannot be read: {error}') from error
    if len(sizes) > 1:
        raise SearchError(f'the images of the {split} split have different sizes (channels, height, width), such as '
                          f'{" and ".join(map(str, sorted(sizes)[:2]))}: end transforms of the {split}_dataloader '
                          f'with a crop or a Resize to one size')


def _check_batch(dataloader: Mapping, images: int) -> None:
    if dataloader.get('drop_last') and images < dataloader['batch_size']:
        raise SearchError(f'the {images} images of the train split make no batch of {dataloader["batch_size"]}, and '
                          f'the train_dataloader has drop_last=True: take more images, or a smaller batch_size')


def _metric(cfg: Config, num_classes: int) -> dict:
    """Return the config's accuracy, or top-1."""
    metric = dict(metric_of(cfg, ('Accuracy',)) or dict(type='Accuracy', topk=(1,)))
    most = max(Accuracy(**{name: value for name, value in metric.items() if name != 'type'}).topk)
    if most > num_classes:
        raise SearchError(f'val_evaluator measures top-{most} accuracy, but the data have {num_classes} classes: give '
                          f'it a smaller topk')
    return metric


def _set_num_classes(model: Mapping, count: int) -> None:
    """Set the number of classes where the model has its head: in the classifier itself, or in its backbone."""
    backbone = model.get('backbone') or {}
    heads = [part for part in (model, backbone) if part.get('num_classes') is not None or part.get('head')]
    if not heads:
        raise SearchError(f'the model {model.get("type")} has no num_classes: labelled images are for a classifier, '
                          f'such as ImageClassifier')
    for head in heads:
        head['num_classes'] = count


def _digest(dataset: Mapping) -> str:
    return digest(dataset_class(dataset).contents(dataset))[:16]
