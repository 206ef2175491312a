"""Splits of COCO-format data: search-train, search-val (the reward) and test share no picture."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Iterable, Optional, Sequence, Union

import numpy as np

from nasdet.datasets.checks import read_coco
from nasdet.errors import SearchError
from nasdet.files import write_whole

Size = Union[int, float]


def class_names(coco: dict) -> tuple[str, ...]:
    """Return the names of the categories in the order of the file, which is mmdet's order of the labels."""
    return tuple(category['name'] for category in coco['categories'])


def subset(coco: dict, image_ids: Iterable[int]) -> dict:
    """Return the part of an annotation file that belongs to some images; all categories stay."""
    chosen = set(image_ids)
    return {**coco, 'images': [image for image in coco['images'] if image['id'] in chosen],
            'annotations': [box for box in coco['annotations'] if box['image_id'] in chosen]}


def carve(coco: dict, sizes: Sequence[Size], seed: int) -> list[dict]:
    """Carve disjoint splits out of an annotation file, by image, at random.

    Args:
        coco: The content of an annotation file; the order of its images does not matter.
        sizes: Of each split: a whole number of images, or a float in (0, 1), its share of all images.
        seed: The only source of chance.

    Returns:
        One annotation dict a size, then the rest.

    Raises:
        SearchError: A size that is none, that leaves nothing over, or a split without any box.
    """
    ids = sorted(image['id'] for image in coco['images'])
    counts = [_count(size, len(ids)) for size in sizes]
    if sum(counts) >= len(ids):
        raise SearchError(f'splits of {" and ".join(map(str, counts))} images leave nothing to train on out of '
                          f'{len(ids)}: take smaller ones')
    order = np.random.default_rng(seed).permutation(ids).tolist()
    cuts = np.cumsum([0, *counts, len(ids) - sum(counts)])
    splits = [subset(coco, order[start:stop]) for start, stop in pairwise(cuts)]
    for split in splits:
        if not split['annotations']:
            raise SearchError(f'a split of {len(split["images"])} images has no boxes: take a larger one or another '
                              'seed')
    return splits


def _count(size: Size, total: int) -> int:
    if isinstance(size, float) and 0 < size < 1:
        return max(1, round(size * total))
    if isinstance(size, int) and not isinstance(size, bool) and size >= 1:
        return size
    raise SearchError(f'the size of a split is a number of images or a share between 0 and 1, not {size!r}')


def split_coco(ann_file, out_dir, val: Size = 0.2, test: Size = 0, seed: int = 0) -> dict[str, Path]:
    """Split a COCO annotation file by image into files.

    Args:
        ann_file: Path of the JSON file.
        out_dir: Folder of the new files; made where absent.
        val: Images of search-val, a whole number or a share of all.
        test: Images of test in the same way; 0 for none.
        seed: The only source of chance.

    Returns:
        Paths of ``train.json``, ``val.json`` and ``trainval.json``, and of ``test.json`` where there is a test.

    Raises:
        SearchError: As :func:`read_coco` and :func:`carve` raise it.
    """
    coco = read_coco(ann_file)
    val_split, *test_split, train_split = carve(coco, [val, test] if test else [val], seed)
    return write_splits(out_dir, train_split, val_split, *test_split)


def split_nas_fpn(ann_file, out_dir, seed: int = 0) -> dict[str, Path]:
    """Split train2017 as NAS-FPN does (Ghiasi et al., CVPR 2019, section 4): 7,392 images for the reward."""
    return split_coco(ann_file, out_dir, val=7392, seed=seed)


def split_detnas(ann_file, out_dir, seed: int = 0) -> dict[str, Path]:
    """Split train2017 as DetNAS does (Chen et al., NeurIPS 2019, section 4): 5,000 images for the reward."""
    return split_coco(ann_file, out_dir, val=5000, seed=seed)


def write_splits(out_dir, train: dict, val: dict, test: Optional[dict] = None) -> dict[str, Path]:
    """Write the splits, and what a search may see as ``trainval.json``; returns the path of each."""
    both = {**train, 'images': train['images'] + val['images'],
            'annotations': train['annotations'] + val['annotations']}
    splits = dict(train=train, val=val, trainval=both)
    if test is not None:
        splits['test'] = test
    paths = {name: Path(out_dir).absolute() / f'{name}.json' for name in splits}
    for name, split in splits.items():
        write_json(paths[name], split)
    return paths


def check_same_classes(train: dict, test: dict) -> dict:
    """Return ``test`` with the categories in the order of ``train``.

    Raises:
        SearchError: The categories differ.
    """
    ours, theirs = ({category['id']: category['name'] for category in coco['categories']} for coco in (train, test))
    if ours != theirs:
        differing = sorted(set(ours.items()) ^ set(theirs.items()))
        raise SearchError(f'the test annotations have other categories than the training annotations: '
                          f'{len(ours)} and {len(theirs)}, differing in {differing[:4]}; give both the same')
    return {**test, 'categories': train['categories']}


def check_disjoint(seen: dict, test: dict) -> None:
    """Refuse a test split that shares pictures with what the search sees.

    Raises:
        SearchError: An image id or a file name is in both.
    """
    for key, what in (('id', 'image ids'), ('file_name', 'file names')):
        common = {image[key] for image in seen['images']} & {image[key] for image in test['images']}
        if common:
            raise SearchError(f'the test split overlaps what the search sees (train and reward): {len(common)} '
                              f'{what} are in both, such as {min(common)!r}; take them out of one of them, or, where '
                              'the files number and name different pictures alike, set '
                              'search.data.independent_ids=True')


def renumber(coco: dict, first: int) -> dict:
    """Return the annotations with image ids ``first``, ``first + 1``, ... in the order of the file."""
    new = {image['id']: first + index for index, image in enumerate(coco['images'])}
    return {**coco, 'images': [{**image, 'id': new[image['id']]} for image in coco['images']],
            'annotations': [{**box, 'image_id': new[box['image_id']]} for box in coco['annotations']]}


def read_json(path) -> dict:
    """Return the content of a JSON file."""
    return json.loads(Path(path).read_bytes())


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, never half of it; its folder is made where absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content).encode())
