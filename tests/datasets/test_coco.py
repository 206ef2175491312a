import json

import pytest

from nasdet.datasets import split_coco, split_detnas, split_nas_fpn
from nasdet.datasets.coco import carve, check_disjoint, check_same_classes, renumber
from nasdet.errors import SearchError

from .toys import write, write_toy


def ids(coco):
    return {image['id'] for image in coco['images']}


def large(count):
    """An annotation file of ``count`` images of one box each, without the pictures."""
    return dict(
        images=[dict(id=index, file_name=f'{index}.jpg', width=9, height=9) for index in range(count)],
        annotations=[dict(id=index, image_id=index, category_id=1, bbox=[1, 1, 5, 5]) for index in range(count)],
        categories=[dict(id=1, name='thing')])


def test_splits_are_disjoint_complete_and_those_of_the_seed():
    coco = large(50)
    first, second, rest = carve(coco, [10, 0.3], seed=1)
    assert [len(ids(part)) for part in (first, second, rest)] == [10, 15, 25]
    assert ids(first) | ids(second) | ids(rest) == ids(coco)
    for part in (first, second, rest):
        assert {box['image_id'] for box in part['annotations']} == ids(part)
    shuffled = {**coco, 'images': coco['images'][::-1]}
    assert ids(carve(shuffled, [10, 0.3], seed=1)[0]) == ids(first)     # the order of the file does not matter
    assert ids(carve(coco, [10, 0.3], seed=2)[0]) != ids(first)


@pytest.mark.parametrize('sizes, sentence', [
    ([0], 'not 0'), ([1.5], 'not 1.5'), ([-0.2], 'not -0.2'), ([True], 'not True'), (['5'], "not '5'"),
    ([50], '50 images leave nothing'), ([0.5, 0.5], '25 and 25 images leave nothing')])
def test_sizes_that_are_none_are_refused(sizes, sentence):
    with pytest.raises(SearchError, match=sentence):
        carve(large(50), sizes, seed=0)


def test_a_split_without_boxes_is_refused():
    coco = large(50)
    coco['annotations'] = coco['annotations'][:1]
    with pytest.raises(SearchError, match='has no boxes'):
        carve(coco, [5], seed=0)


def test_split_coco_writes_files(tmp_path):
    coco, ann_file, _ = write_toy(tmp_path)
    paths = split_coco(ann_file, tmp_path / 'out', val=3, test=0.2, seed=5)
    parts = {name: json.loads(path.read_text()) for name, path in paths.items()}
    assert {name: len(ids(part)) for name, part in parts.items()} == dict(train=5, val=3, trainval=8, test=2)
    assert ids(parts['trainval']) == ids(parts['train']) | ids(parts['val']) == ids(coco) - ids(parts['test'])
    assert all(part['categories'] == coco['categories'] for part in parts.values())
    assert 'test' not in split_coco(ann_file, tmp_path / 'two', val=3)


@pytest.mark.parametrize('split, count', [(split_nas_fpn, 7392), (split_detnas, 5000)])
def test_the_splits_of_the_papers(tmp_path, split, count):
    paths = split(write(tmp_path / 'train2017.json', large(8000)), tmp_path)
    assert len(json.loads(paths['val'].read_text())['images']) == count
    assert len(json.loads(paths['train'].read_text())['images']) == 8000 - count


def test_overlap_is_refused_by_id_and_by_name():
    seen, test = large(10), renumber(large(20), first=100)
    test['images'] = [{**image, 'file_name': f'test/{image["file_name"]}'} for image in test['images']]
    check_disjoint(seen, test)
    test['images'][3]['id'] = 7
    with pytest.raises(SearchError, match='test split overlaps .* 1 image ids are in both, such as 7'):
        check_disjoint(seen, test)
    test['images'][3].update(id=103, file_name='5.jpg')
    with pytest.raises(SearchError, match="1 file names are in both, such as '5.jpg'"):
        check_disjoint(seen, test)


def test_other_categories_are_refused_and_another_order_is_not():
    train, test = large(2), large(2)
    train['categories'] = [dict(id=1, name='thing'), dict(id=2, name='other')]
    with pytest.raises(SearchError, match="other categories .* differing in .*2, 'other'"):
        check_same_classes(train, test)
    test['categories'] = train['categories'][::-1]
    assert check_same_classes(train, test)['categories'] == train['categories']
