import pytest
from PIL import Image

from nasdet.datasets.checks import check_pictures, read_coco
from nasdet.errors import SearchError

from .toys import write, write_toy


@pytest.fixture
def toy(tmp_path):
    return write_toy(tmp_path)


def test_good_data_passes(toy):
    coco, ann_file, images = toy
    assert read_coco(ann_file) == coco
    check_pictures(coco, images)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SearchError, match=r'annotation file .*/absent.json does not exist'):
        read_coco(tmp_path / 'absent.json')


@pytest.mark.parametrize('content, sentence', [
    ('<xml/>', 'is not JSON'), ('[]', "not in COCO format: it has no list 'images'"),
    ('{"images": [], "annotations": []}', "it has no list 'categories'"),
    ('{"images": [1], "annotations": [], "categories": []}', "its 'images' are not all objects")])
def test_what_is_not_coco_is_refused(tmp_path, content, sentence):
    path = tmp_path / 'other.json'
    path.write_text(content)
    with pytest.raises(SearchError, match=sentence):
        read_coco(path)


@pytest.mark.parametrize('key, index, change, sentence', [
    ('annotations', 4, dict(category_id=9), 'annotation 33 has the unknown category id 9.*begin with: 3 cat, 7 dog'),
    ('annotations', 4, dict(image_id=99), 'annotation 33 belongs to image 99, which the file does not list'),
    ('annotations', 4, dict(bbox=[1, 2, 3]), 'annotation 33 has no box of four numbers'),
    ('annotations', 4, dict(bbox=[1, 2, 3, float('nan')]), 'annotation 33 has no box of four numbers'),
    ('annotations', 4, dict(id=13), 'annotation id 13 occurs twice'),
    ('annotations', 4, dict(id=None), 'needs a whole number as id'),
    ('images', 2, dict(id=1), 'image id 1 occurs twice'),
    ('images', 2, dict(file_name='toy_1.png'), "image file 'toy_1.png' occurs twice"),
    ('images', 2, dict(width=None), 'toy_3.png .id 3. needs a width and a height'),
    ('images', 2, dict(id='3'), 'needs a whole number as id and a file_name'),
    ('categories', 1, dict(name='cat'), "category name 'cat' occurs twice"),
    ('categories', 1, dict(name=None), 'needs a whole number as id and a name')])
def test_each_fault_of_the_annotations_is_one_sentence(tmp_path, toy, key, index, change, sentence):
    coco, ann_file, _ = toy
    coco[key][index].update(change)
    with pytest.raises(SearchError, match=sentence) as caught:
        read_coco(write(ann_file, coco))
    assert '\n' not in str(caught.value) and str(ann_file) in str(caught.value)


def test_no_boxes_are_refused(toy):
    coco, ann_file, _ = toy
    with pytest.raises(SearchError, match='has no boxes: its annotations are empty'):
        read_coco(write(ann_file, {**coco, 'annotations': []}))
    crowds = [{**box, 'iscrowd': 1} for box in coco['annotations']]
    with pytest.raises(SearchError, match='has no boxes to train on'):
        read_coco(write(ann_file, {**coco, 'annotations': crowds}))
    with pytest.raises(SearchError, match='lists no images'):
        read_coco(write(ann_file, {**coco, 'images': []}))


def test_degenerate_boxes_are_reported_and_kept(toy, monkeypatch):
    coco, ann_file, _ = toy
    for box, wrong in zip(coco['annotations'], ([5, 5, 0.5, 8], [5, 5, 8, -3], [40, 5, 8, 8]),
                          strict=False):
        box.update(bbox=wrong, area=4)
    lines = []
    monkeypatch.setattr('nasdet.datasets.checks.print_log', lambda line, **_: lines.append(line))
    kept = read_coco(write(ann_file, coco))
    assert kept['annotations'] == coco['annotations']
    assert len(lines) == 1
    assert '3 of 20 boxes are below one pixel or outside their picture' in lines[0]
    assert 'annotation 13 is the first' in lines[0]


def test_absent_area_and_crowd_flag_are_filled_in(toy):
    coco, ann_file, _ = toy
    x, y, w, h = coco['annotations'][0]['bbox']
    del coco['annotations'][0]['area'], coco['annotations'][0]['iscrowd']
    read = read_coco(write(ann_file, coco))
    assert (read['annotations'][0]['area'], read['annotations'][0]['iscrowd']) == (w * h, 0)


def test_missing_and_unreadable_pictures_are_named(toy):
    coco, _, images = toy
    picture = images / 'toy_4.png'
    content = picture.read_bytes()
    for broken, sentence in ((b'', 'is empty'), (b'no picture', 'is not readable'),
                             (content[:len(content) // 2], 'is not readable')):
        picture.write_bytes(broken)
        with pytest.raises(SearchError, match=f'toy_4.png {sentence}'):
            check_pictures(coco, images)
    picture.unlink()
    with pytest.raises(SearchError, match='toy_4.png does not exist'):
        check_pictures(coco, images)
    with pytest.raises(SearchError, match='image folder .*/elsewhere does not exist'):
        check_pictures(coco, images.parent / 'elsewhere')


def test_a_truncated_jpeg_is_found(tmp_path, toy):
    coco, _, images = toy
    picture = tmp_path / 'large.jpg'
    Image.effect_noise((256, 256), 80).save(picture)
    picture.write_bytes(picture.read_bytes()[:-2000])
    (images / 'toy_4.png').write_bytes(picture.read_bytes())
    with pytest.raises(SearchError, match='toy_4.png is not readable .*truncated'):
        check_pictures(coco, images)


def test_pictures_beyond_the_limit_are_checked_for_existence_only(toy, monkeypatch):
    coco, _, images = toy
    monkeypatch.setattr('nasdet.datasets.checks.MOST_DECODED', 5)
    (images / 'toy_2.png').write_bytes(b'every second one is decoded, this is not')
    check_pictures(coco, images)
    (images / 'toy_2.png').unlink()
    with pytest.raises(SearchError, match='toy_2.png does not exist'):
        check_pictures(coco, images)
