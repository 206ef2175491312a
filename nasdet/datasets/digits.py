"""The built-in detection data: real handwritten digits on crops of photographs, made in seconds, nothing downloaded.

Both come with scikit-learn: the digits are ``load_digits`` (E. Alpaydin, C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI Machine Learning Repository, 1998; 1,797 samples of 8 x 8 pixels), the photographs are the
two of ``load_sample_images``.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from nasdet.datasets.coco import read_json, subset, write_json
from nasdet.errors import SearchError

VERSION = 1             # part of the folder's name: raise it when the pictures change
CLASSES = tuple('0123456789')
SPLITS = ('train', 'val', 'test')
SHARES = (0.6, 0.15)    # of the digit samples, for train and val; test has the rest
SMALLEST, LARGEST = 10 / 128, 96 / 128      # height of a digit, in sides of the picture
MOST_DIGITS = 5
PLACING_TRIES = 30
GAP = 2                 # pixels between two boxes
CONTRAST = 64           # least difference in grey between a digit and what it lies on, of 255
SHARPEN = [min(255, max(0, 3 * (value - 64))) for value in range(256)]
VISIBLE = [0] * 128 + [255] * 128


def main(args) -> int:
    """Run ``nasdet digits FOLDER [--train N] [--val N] [--test N] [--size PIXELS] [--seed N]``."""
    print(make_digits(args.root, args.train, args.val, args.test, args.size, args.seed))
    return 0


def make_digits(root, train: int = 800, val: int = 200, test: int = 400, size: int = 128, seed: int = 0) -> Path:
    """Make the digit detection data below ``root``, or return what was made there before.

    No digit sample appears in two splits. Equal arguments give equal pixels and annotations. The folder appears
    whole or not at all; one with missing pictures is made again.

    Args:
        root: Folder that may hold several such sets; made where absent.
        train: Number of pictures of the search-train split.
        val: Number of pictures of the search-val split.
        test: Number of pictures of the test split.
        size: Side of the pictures in pixels; the digits are 10/128 to 96/128 of it high.
        seed: The only source of chance.

    Returns:
        The folder, with ``images/``, ``train.json``, ``val.json``, ``trainval.json`` and ``test.json``.

    Raises:
        SearchError: A size that is not a whole number of at least 1, or of at least 32 for ``size``.
    """
    counts = (train, val, test)
    if not all(isinstance(count, int) and count >= 1 for count in counts):
        raise SearchError(f'the built-in digits need at least one picture a split, not train={train}, val={val}, '
                          f'test={test}: correct search.data')
    if not isinstance(size, int) or size < 32:
        raise SearchError(f'the pictures of the built-in digits are at least 32 pixels wide, not {size}: '
                          'correct search.data.size')
    folder = Path(root).absolute() / f'digits-v{VERSION}-{size}px-{train}-{val}-{test}-seed{seed}'
    if not _complete(folder):
        _make_folder(folder, counts, size, seed)
    return folder


def _complete(folder: Path) -> bool:
    if not all((folder / f'{name}.json').is_file() for name in ('trainval', *SPLITS)):
        return False
    images = [image for name in ('trainval', 'test') for image in read_json(folder / f'{name}.json')['images']]
    return all((folder / 'images' / image['file_name']).is_file() for image in images)


def _make_folder(folder: Path, counts: Sequence[int], size: int, seed: int) -> None:
    """Build in a temporary folder and rename it, so that a kill or a second process leaves nothing half made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.digits-', dir=folder.parent) as temporary:
        built = Path(temporary) / folder.name
        _write_set(built, counts, size, seed)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(built, folder)
        except OSError:
            if not _complete(folder):       # otherwise another process was first with the same pictures
                raise


def _write_set(folder: Path, counts: Sequence[int], size: int, seed: int) -> None:
    whole = dict(info=dict(description='handwritten digits on photographs', version=str(VERSION)), images=[],
                 annotations=[], categories=[dict(id=label + 1, name=name) for label, name in enumerate(CLASSES)])
    photographs = _photographs()
    ids = {}
    for number, (name, count, glyphs) in enumerate(zip(SPLITS, counts, _glyphs(seed), strict=True)):
        (folder / 'images' / name).mkdir(parents=True)
        first = len(whole['images']) + 1
        ids[name] = range(first, first + count)
        for index, image_id in enumerate(ids[name]):
            rng = np.random.default_rng((seed, number, index))
            picture, boxes = _picture(rng, photographs, glyphs, size)
            file_name = f'{name}/{index:06d}.png'
            picture.save(folder / 'images' / file_name, compress_level=1)
            whole['images'].append(dict(id=image_id, file_name=file_name, width=size, height=size))
            whole['annotations'] += [_annotation(len(whole['annotations']) + offset, image_id, label, box)
                                     for offset, (label, box) in enumerate(boxes, start=1)]
    ids['trainval'] = range(1, ids['val'].stop)
    for name, image_ids in ids.items():
        write_json(folder / f'{name}.json', subset(whole, image_ids))


def _annotation(annotation_id: int, image_id: int, label: int, box: tuple[int, int, int, int]) -> dict:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return dict(id=annotation_id, image_id=image_id, category_id=label + 1, bbox=[left, top, width, height],
                area=width * height, iscrowd=0)


def _photographs() -> list[Image.Image]:
    return [Image.fromarray(photograph) for photograph in load_sample_images().images]


def _glyphs(seed: int) -> list[list[tuple[int, Image.Image]]]:
    """Deal the digit samples out to train, val and test, each class in the same shares."""
    digits = load_digits()
    rng = np.random.default_rng(seed)
    dealt = [[] for _ in SPLITS]
    for label in range(len(CLASSES)):
        samples = rng.permutation(np.flatnonzero(digits.target == label))
        cuts = (np.cumsum(SHARES) * len(samples)).astype(int)
        for glyphs, part in zip(dealt, np.split(samples, cuts), strict=True):
            glyphs += [(label, _glyph(digits.images[sample])) for sample in part]
    return dealt


def _glyph(grey: np.ndarray) -> Image.Image:
    """Return a digit, (8, 8) of 0..16, as a grey image cut to its strokes with a margin of one empty pixel."""
    rows, columns = np.flatnonzero((grey >= 4).any(1)), np.flatnonzero((grey >= 4).any(0))
    cut = grey[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    return Image.fromarray((np.pad(cut, 1) * 255 // 16).astype(np.uint8))


def _picture(rng, photographs: list, glyphs: list, size: int) -> tuple[Image.Image, list]:
    """Return one picture and its ``(label, (left, top, right, bottom))`` pairs; the largest digit is placed first."""
    picture = _background(rng, photographs, size)
    heights = SMALLEST * (LARGEST / SMALLEST) ** rng.random(rng.integers(1, MOST_DIGITS + 1))
    boxes = []
    for height in sorted(heights, reverse=True):
        label, glyph = glyphs[rng.integers(len(glyphs))]
        mask = _enlarge(glyph, round(height * size))
        box = _free_place(rng, mask.size, size, [box for _, box in boxes])
        if box is not None:
            picture.paste(_colour(rng, picture.crop(box)), box, mask)
            boxes.append((label, box))
    return picture, boxes


def _background(rng, photographs: list, size: int) -> Image.Image:
    photograph = photographs[rng.integers(len(photographs))]
    side = int(rng.integers(96, min(photograph.size) + 1))
    left, top = (int(rng.integers(length - side + 1)) for length in photograph.size)
    crop = photograph.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _enlarge(glyph: Image.Image, height: int) -> Image.Image:
    """Return the opacity of a digit about ``height`` pixels high, strokes sharpened, cut to what is visible."""
    scale = height / (glyph.height - 2)
    large = glyph.resize([max(2, round(length * scale)) for length in glyph.size], Image.Resampling.BICUBIC)
    sharp = large.point(SHARPEN)
    return sharp.crop(sharp.point(VISIBLE).getbbox())


def _free_place(rng, box_size: tuple[int, int], size: int, taken: list) -> Optional[tuple]:
    width, height = box_size
    for _ in range(PLACING_TRIES):
        left, top = int(rng.integers(size - width + 1)), int(rng.integers(size - height + 1))
        box = (left, top, left + width, top + height)
        if all(_apart(box, other) for other in taken):
            return box
    return None


def _apart(a: tuple, b: tuple) -> bool:
    return a[2] + GAP <= b[0] or b[2] + GAP <= a[0] or a[3] + GAP <= b[1] or b[3] + GAP <= a[1]


def _colour(rng, patch: Image.Image) -> tuple[int, int, int]:
    """Draw a colour whose grey differs from the mean grey of what it will cover."""
    ground = np.asarray(patch.convert('L')).mean()
    while True:
        red, green, blue = (int(value) for value in rng.integers(256, size=3))
        if abs((299 * red + 587 * green + 114 * blue) / 1000 - ground) >= CONTRAST:
            return red, green, blue
