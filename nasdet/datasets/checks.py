"""What is checked of COCO-format data before anything is trained; each fault is told in one sentence."""

import json
import math
from pathlib import Path
from typing import Sequence

from mmengine.logging import print_log
from PIL import Image

from nasdet.errors import SearchError

MOST_DECODED = 5000     # pictures that are decoded as a check; of all the others only existence and size


def read_coco(ann_file) -> dict:
    """Read a COCO annotation file and check all that it says.

    Annotations without ``area`` or ``iscrowd`` get width x height and 0. Boxes that mmdet does not train on
    (below one pixel, or outside their picture) are reported in the log and kept.

    Args:
        ann_file: Path of the JSON file.

    Returns:
        Its content.

    Raises:
        SearchError: The file is missing, is not JSON or not COCO, has no box, or contradicts itself.
    """
    path = Path(ann_file).expanduser().absolute()
    coco = _read(path)
    _check_categories(coco['categories'], path)
    _check_images(coco['images'], path)
    _check_annotations(coco, path)
    _check_boxes(coco, path)
    return coco


def _read(path: Path) -> dict:
    if not path.is_file():
        raise SearchError(f'annotation file {path} does not exist: correct the path, or put the file there')
    try:
        coco = json.loads(path.read_bytes())
    except ValueError as error:
        raise SearchError(f'annotation file {path} is not JSON: {error}') from error
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list):
            raise SearchError(f'annotation file {path} is not in COCO format: it has no list {key!r}')
        if not all(isinstance(entry, dict) for entry in coco[key]):
            raise SearchError(f'annotation file {path} is not in COCO format: its {key!r} are not all objects')
    return coco


def _check_categories(categories: list, path: Path) -> None:
    for category in categories:
        if not isinstance(category.get('id'), int) or not isinstance(category.get('name'), str):
            raise SearchError(f'{path}: category {category} needs a whole number as id and a name')
    _check_unique([category['id'] for category in categories], 'category id', path)
    _check_unique([category['name'] for category in categories], 'category name', path)


def _check_images(images: list, path: Path) -> None:
    if not images:
        raise SearchError(f'{path} lists no images')
    for image in images:
        if not isinstance(image.get('id'), int) or not isinstance(image.get('file_name'), str):
            raise SearchError(f'{path}: image {image} needs a whole number as id and a file_name')
        if not all(isinstance(image.get(side), int) and image[side] > 0 for side in ('width', 'height')):
            raise SearchError(f'{path}: image {image["file_name"]} (id {image["id"]}) needs a width and a height')
    _check_unique([image['id'] for image in images], 'image id', path)
    _check_unique([image['file_name'] for image in images], 'image file', path)


def _check_annotations(coco: dict, path: Path) -> None:
    if not coco['annotations']:
        raise SearchError(f'{path} has no boxes: its annotations are empty')
    names = {category['id']: category['name'] for category in coco['categories']}
    images = {image['id'] for image in coco['images']}
    for annotation in coco['annotations']:
        where = f'{path}: annotation {annotation.get("id")}'
        if not isinstance(annotation.get('id'), int):
            raise SearchError(f'{where} needs a whole number as id: {annotation}')
        if annotation.get('category_id') not in names:
            known = ', '.join(f'{key} {name}' for key, name in list(names.items())[:5])
            raise SearchError(f'{where} has the unknown category id {annotation.get("category_id")}; the file\'s '
                              f'{len(names)} categories begin with: {known or "nothing"}')
        if annotation.get('image_id') not in images:
            raise SearchError(f'{where} belongs to image {annotation.get("image_id")}, which the file does not list')
        if not _is_box(annotation.get('bbox')):
            raise SearchError(f'{where} has no box of four numbers (x, y, width, height): {annotation.get("bbox")}')
    _check_unique([annotation['id'] for annotation in coco['annotations']], 'annotation id', path)


def _is_box(box) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in box)


def _check_unique(values: list, what: str, path: Path) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise SearchError(f'{path}: the {what} {value!r} occurs twice, but must be unique')
        seen.add(value)


def _check_boxes(coco: dict, path: Path) -> None:
    sizes = {image['id']: (image['width'], image['height']) for image in coco['images']}
    degenerate, trainable = [], 0
    for annotation in coco['annotations']:
        annotation.setdefault('area', annotation['bbox'][2] * annotation['bbox'][3])
        annotation.setdefault('iscrowd', 0)
        if _is_degenerate(annotation, *sizes[annotation['image_id']]):
            degenerate.append(annotation['id'])
        elif not annotation['iscrowd']:
            trainable += 1
    if not trainable:
        raise SearchError(f'{path} has no boxes to train on: each of its {len(coco["annotations"])} boxes is a crowd, '
                          'below one pixel, or outside its picture')
    if degenerate:
        print_log(f'{path}: {len(degenerate)} of {len(coco["annotations"])} boxes are below one pixel or outside '
                  f'their picture, and are not trained on (annotation {degenerate[0]} is the first)',
                  logger='current', level=30)


def _is_degenerate(annotation: dict, width: int, height: int) -> bool:
    """Return whether mmdet's CocoDataset leaves a box out."""
    x, y, w, h = annotation['bbox']
    outside = min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0)
    return outside or w < 1 or h < 1 or annotation['area'] <= 0


def check_pictures(coco: dict, image_dir) -> None:
    """Check that every picture exists and is not empty, and decode up to 5,000 of them, spread evenly.

    Args:
        coco: The content of an annotation file.
        image_dir: The folder that the file names are relative to.

    Raises:
        SearchError: The folder is missing, or a picture is missing, empty or unreadable, by its name.
    """
    folder = Path(image_dir).expanduser().absolute()
    if not folder.is_dir():
        raise SearchError(f'image folder {folder} does not exist: correct the path, or put the pictures there')
    paths = [folder / image['file_name'] for image in coco['images']]
    for path in paths:
        if not path.is_file():
            raise SearchError(f'picture {path} does not exist, but the annotations list it: correct the image folder, '
                              'or put it there')
    check_files(paths)


def check_files(paths: Sequence[Path]) -> None:
    """Check that pictures that exist are not empty, and decode up to 5,000 of them, spread evenly.

    Raises:
        SearchError: A picture is empty or unreadable, by its name.
    """
    for path in paths:
        if path.stat().st_size == 0:
            raise SearchError(f'picture {path} is empty: put a readable one there')
    for path in paths[::max(math.ceil(len(paths) / MOST_DECODED), 1)]:
        _decode(path)


def _decode(path: Path) -> None:
    try:
        with Image.open(path) as picture:
            picture.draft('L', (1, 1))      # JPEG: reads all data, but decodes an eighth of the side
            picture.load()
    except Exception as error:  # whatever a decoder of pillow's raises, the picture is not readable
        raise SearchError(f'picture {path} is not readable ({error}): put a readable one there') from error
