"""A tiny COCO-format data set to break in every way."""

import json

import numpy as np
from PIL import Image


def write_toy(folder, count=10, first_id=1, name='toy', size=(32, 24)):
    """Write ``count`` pictures with two boxes each; returns (content, annotation file, image folder)."""
    rng = np.random.default_rng(first_id)
    images = folder / f'{name}_images'
    images.mkdir(parents=True)
    coco = dict(images=[], annotations=[], categories=[dict(id=3, name='cat'), dict(id=7, name='dog')])
    for image_id in range(first_id, first_id + count):
        file_name = f'{name}_{image_id}.png'
        Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)).save(images / file_name)
        coco['images'].append(dict(id=image_id, file_name=file_name, width=size[0], height=size[1]))
        for category in (3, 7):
            x, y, w, h = (int(value) for value in rng.integers(2, 12, size=4))
            coco['annotations'].append(dict(id=10 * image_id + category, image_id=image_id, category_id=category,
                                            bbox=[x, y, w, h], area=w * h, iscrowd=0))
    return coco, write(folder / f'{name}.json', coco), images


def write(path, content):
    path.write_text(json.dumps(content))
    return path
