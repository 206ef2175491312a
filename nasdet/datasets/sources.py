"""Where a search's pictures come from: the values of ``search.data`` in a config."""

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Mapping, Optional

from nasdet.datasets.checks import check_pictures, read_coco
from nasdet.datasets.coco import Size, carve, check_disjoint, check_same_classes, class_names, read_json, renumber
from nasdet.datasets.digits import make_digits
from nasdet.errors import SearchError


@dataclass(frozen=True)
class Source:
    """Three sets of pictures that share none.

    Args:
        train: Annotations of search-train, as the content of a COCO file.
        val: The same of search-val, the reward.
        test: The same of the test split.
        image_dir: Folder of the pictures of train and val.
        test_image_dir: Folder of the pictures of test.
        classes: Names of the classes that are detected.
    """

    train: dict
    val: dict
    test: dict
    image_dir: Path
    test_image_dir: Path
    classes: tuple[str, ...]


def open_source(data: Mapping, own: Mapping, folder: Path) -> Source:
    """Return the pictures that ``search.data`` names.

    Args:
        data: ``dict(type='digits', ...)``, ``dict(type='coco', ...)`` or ``dict(type='config', ...)``; the other
            entries are the arguments of :func:`from_digits`, :func:`from_files` or :func:`from_datasets`.
        own: The detector config's own ``train_dataset`` and ``test_dataset``, for ``'config'``.
        folder: Where the built-in pictures are made, unless ``root`` says otherwise.

    Raises:
        SearchError: An unknown type or argument, or a fault of the data.
    """
    arguments = dict(data)
    kind = arguments.pop('type', None)
    makers = dict(digits=from_digits, coco=from_files, config=from_datasets)
    if kind not in makers:
        near = get_close_matches(str(kind), makers, n=1)
        raise SearchError(f'search.data has the unknown type {kind!r}: '
                          + (f'did you mean {near[0]!r}?' if near else f'known: {", ".join(makers)}'))
    if kind == 'digits':
        arguments.setdefault('root', folder)
    elif kind == 'config':
        arguments.update(own)
    try:
        inspect.signature(makers[kind]).bind(**arguments)
    except TypeError as error:
        raise SearchError(f'search.data of type {kind!r}: {error}') from error
    return makers[kind](**arguments)


def from_digits(root, train: int = 800, val: int = 200, test: int = 400, size: int = 128, seed: int = 0) -> Source:
    """Return the built-in digits; the arguments are those of :func:`nasdet.datasets.make_digits`."""
    folder = make_digits(root, train, val, test, size, seed)
    splits = [read_json(folder / f'{name}.json') for name in ('train', 'val', 'test')]
    return Source(*splits, folder / 'images', folder / 'images', class_names(splits[0]))


def from_files(ann_file, image_dir, test_ann_file=None, test_image_dir=None, val: Size = 0.2, test: Size = 0.2,
               seed: int = 0, independent_ids: bool = False) -> Source:
    """Return any COCO-format data.

    Args:
        ann_file: Path of the annotations; search-val is carved out of them, by image.
        image_dir: Folder that their file names are relative to.
        test_ann_file: The same for test; None carves test out of ``ann_file`` too.
        test_image_dir: The same for test; None takes ``image_dir``.
        val: Images of search-val, a whole number or a share of all.
        test: Images of test in the same way; not used where there is a ``test_ann_file``.
        seed: Of the splits.
        independent_ids: Whether the two files number and name different pictures alike: then the test's images
            get new ids, and equal names in two folders are not taken for an overlap.

    Raises:
        SearchError: Any fault that :mod:`nasdet.datasets.checks` knows, other categories in the test, or an overlap.
    """
    image_dir = Path(image_dir).expanduser().absolute()
    whole = read_coco(ann_file)
    check_pictures(whole, image_dir)
    if test_ann_file is None:
        val_split, test_split, train_split = carve(whole, [val, test], seed)
        return Source(train_split, val_split, test_split, image_dir, image_dir, class_names(whole))
    test_image_dir = Path(test_image_dir or image_dir).expanduser().absolute()
    test_split = check_same_classes(whole, read_coco(test_ann_file))
    if independent_ids:
        test_split = renumber(test_split, 1 + max(image['id'] for image in whole['images']))
    if not independent_ids or test_image_dir.resolve() == image_dir.resolve():
        check_disjoint(whole, test_split)
    check_pictures(test_split, test_image_dir)
    val_split, train_split = carve(whole, [val], seed)
    return Source(train_split, val_split, test_split, image_dir, test_image_dir, class_names(whole))


def from_datasets(train_dataset: Mapping, test_dataset: Optional[Mapping] = None, val: Size = 0.2, test: Size = 0.2,
                  seed: int = 0, independent_ids: bool = False) -> Source:
    """Return the data that a detector config names itself.

    Args:
        train_dataset: The config of its training dataset; search-val is carved out of it.
        test_dataset: The config of its test dataset; None carves test out of the training data too.
        val: As :func:`from_files` takes it.
        test: As :func:`from_files` takes it.
        seed: As :func:`from_files` takes it.
        independent_ids: As :func:`from_files` takes it.

    Raises:
        SearchError: As :func:`from_files` raises it, or a class of ``metainfo`` that the annotations do not have.
    """
    ann_file, image_dir = _paths(train_dataset)
    test_paths = _paths(test_dataset) if test_dataset else (None, None)
    source = from_files(ann_file, image_dir, *test_paths, val, test, seed, independent_ids)
    wanted = (train_dataset.get('metainfo') or {}).get('classes')
    if wanted is None:
        return source
    missing = [name for name in wanted if name not in source.classes]
    if missing:
        raise SearchError(f'the config\'s metainfo names the class {missing[0]!r}, which {ann_file} does not have')
    return Source(source.train, source.val, source.test, source.image_dir, source.test_image_dir,
                  tuple(name for name in source.classes if name in wanted))


def _paths(dataset: Mapping) -> tuple[Path, Path]:
    """Return the annotation file and the image folder of a CocoDataset's config."""
    if not dataset.get('ann_file'):
        raise SearchError(f'the config\'s dataset {dataset.get("type")} names no ann_file: set search.data')
    root = Path(dataset.get('data_root') or '')
    prefix = (dataset.get('data_prefix') or {}).get('img') or ''
    return root / dataset['ann_file'], root / prefix
