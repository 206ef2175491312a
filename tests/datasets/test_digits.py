import hashlib
import inspect
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image
from sklearn.datasets import load_digits

from nasdet.cli import build_parser, main
from nasdet.datasets.digits import CLASSES, SPLITS, _glyph, _glyphs, make_digits
from nasdet.errors import SearchError

SMALL = dict(train=4, val=2, test=3, size=64, seed=3)


def read(folder, split):
    return json.loads((folder / f'{split}.json').read_text())


def digest(folder):
    """Hash the pixels and annotations of a whole set."""
    result = hashlib.sha256()
    for split in SPLITS:
        coco = read(folder, split)
        result.update(json.dumps([coco[key] for key in ('images', 'annotations', 'categories')]).encode())
        for image in coco['images']:
            result.update(np.asarray(Image.open(folder / 'images' / image['file_name'])).tobytes())
    return result.hexdigest()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return make_digits(tmp_path_factory.mktemp('digits'), train=60, val=10, test=20)


def test_pixels_and_annotations_are_those_of_the_seed(tmp_path):
    assert digest(make_digits(tmp_path, **SMALL)) == (
        '0906a0d148f9b34d72523d3dd88bdb65c8344599a0356545f54d099766d6f09b')


def test_another_seed_gives_other_pictures(tmp_path):
    other = make_digits(tmp_path, **{**SMALL, 'seed': 4})
    assert digest(other) != digest(make_digits(tmp_path, **SMALL))


def test_a_larger_set_begins_with_the_pictures_of_a_smaller_one(tmp_path):
    small, large = make_digits(tmp_path, **SMALL), make_digits(tmp_path, **{**SMALL, 'train': 6})
    for image in read(small, 'train')['images']:
        assert (small / 'images' / image['file_name']).read_bytes() == (
            large / 'images' / image['file_name']).read_bytes()


def test_splits_share_no_picture_and_no_digit_sample(folder):
    names = [{image['file_name'] for image in read(folder, split)['images']} for split in SPLITS]
    ids = [{image['id'] for image in read(folder, split)['images']} for split in SPLITS]
    assert [len(part) for part in ids] == [60, 10, 20]
    assert len(set.union(*ids)) == len(set.union(*names)) == 90
    assert {image['id'] for image in read(folder, 'trainval')['images']} == ids[0] | ids[1]

    dealt = _glyphs(seed=0)
    samples = Counter(_glyph(grey).tobytes() for grey in load_digits().images)
    assert Counter(glyph.tobytes() for part in dealt for _, glyph in part) == samples   # each is dealt out once
    assert all({label for label, _ in part} == set(range(10)) for part in dealt)


def test_digits_of_many_sizes_lie_apart_inside_the_pictures(folder):
    coco = read(folder, 'train')
    boxes = np.array([box['bbox'] for box in coco['annotations']])
    assert 9 <= boxes[:, 3].min() <= 14 and 80 <= boxes[:, 3].max() <= 100
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 128).all()
    areas = np.array([box['area'] for box in coco['annotations']])
    assert (areas < 32 ** 2).any() and (areas > 32 ** 2).any()
    for image in coco['images']:
        taken = np.zeros((128, 128), dtype=int)
        for box in coco['annotations']:
            if box['image_id'] == image['id']:
                x, y, w, h = box['bbox']
                taken[y:y + h, x:x + w] += 1
        assert taken.max() == 1


def test_a_complete_set_is_reused_and_a_torn_one_made_again(tmp_path):
    folder = make_digits(tmp_path, **SMALL)
    picture = folder / 'images' / 'train' / '000000.png'
    content, written = picture.read_bytes(), picture.stat().st_mtime_ns
    assert make_digits(tmp_path, **SMALL) == folder
    assert picture.stat().st_mtime_ns == written
    picture.unlink()
    make_digits(tmp_path, **SMALL)
    assert picture.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_mmdet_reads_it(folder):
    dataset = DATASETS.build(dict(type='mmdet.CocoDataset', ann_file=str(folder / 'test.json'), pipeline=[],
                                  data_prefix=dict(img=str(folder / 'images')), metainfo=dict(classes=CLASSES)))
    assert len(dataset) == 20
    boxes = {tuple(instance['bbox']) for info in dataset for instance in info['instances']}
    assert len(boxes) == len(read(folder, 'test')['annotations'])


@pytest.mark.parametrize('wrong', [dict(train=0), dict(val=1.5), dict(size=16)])
def test_sizes_that_make_no_set_are_refused(tmp_path, wrong):
    with pytest.raises(SearchError, match='built-in digits'):
        make_digits(tmp_path, **{**SMALL, **wrong})


def test_the_command_makes_the_same(tmp_path, capsys):
    arguments = [word for name, value in SMALL.items() for word in (f'--{name}', str(value))]
    assert main(['digits', str(tmp_path), *arguments]) == 0
    made = Path(capsys.readouterr().out.splitlines()[-1])
    assert made == make_digits(tmp_path, **SMALL) and read(made, 'train')['images']
    assert main(['digits', str(tmp_path), '--train', '0']) == 1
    assert 'at least one picture' in capsys.readouterr().err


def test_the_commands_defaults_are_those_of_the_function():
    given = vars(build_parser().parse_args(['digits', 'FOLDER']))
    own = {name: parameter.default for name, parameter in inspect.signature(make_digits).parameters.items()}
    assert given == {**own, 'root': 'FOLDER', 'command': 'digits'}
