import copy
import json
from pathlib import Path

import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict

from nasdet.datasets import check_splits, prepare
from nasdet.datasets.digits import CLASSES
from nasdet.errors import SearchError

from .toys import write, write_toy

DIGITS = dict(type='digits', train=6, val=3, test=4, size=64)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]


def coco_dataset(ann_file='none.json', image_dir='none', **more):
    return dict(type='CocoDataset', data_root='data/coco/', ann_file=str(ann_file),
                data_prefix=dict(img=str(image_dir)), pipeline=copy.deepcopy(PIPELINE), **more)


def config(data=None, train_dataset=None, test_dataset=None, **more):
    evaluated = dict(batch_size=1, dataset=test_dataset or coco_dataset(test_mode=True))
    return Config(dict(
        model=dict(type='FasterRCNN', backbone=dict(type='ResNet', num_classes=1000),
                   rpn_head=dict(type='RPNHead', num_classes=1),
                   roi_head=dict(bbox_head=[dict(type='Shared2FCBBoxHead', num_classes=80),
                                            dict(type='Shared2FCBBoxHead', num_classes=80)],
                                 mask_head=dict(num_classes=80, loss=dict(num_classes=80)))),
        train_dataloader=dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=True),
                              dataset=train_dataset or coco_dataset(filter_cfg=dict(filter_empty_gt=True))),
        val_dataloader=evaluated, test_dataloader=copy.deepcopy(evaluated),
        val_evaluator=dict(type='CocoMetric', ann_file='none.json', metric=['bbox'], classwise=True,
                           format_only=False),
        search=dict(data=data) if data else dict(space=dict(type='Toy')), **more))


def build(prepared, split):
    dataset = copy.deepcopy(prepared[f'{split}_dataloader'].dataset)
    return DATASETS.build(dataset, default_args=dict(_scope_='mmdet'))


def image_ids(prepared, split):
    dataset = build(prepared, split)
    return {dataset.get_data_info(index)['img_id'] for index in range(len(dataset))}


def test_the_built_in_digits_need_nothing_else(tmp_path):
    cfg = config(DIGITS)
    before = copy.deepcopy(cfg._cfg_dict)
    prepared = prepare(cfg, tmp_path)
    assert cfg._cfg_dict == before                              # the caller's config is not touched
    parts = [image_ids(prepared, split) for split in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [6, 3, 4] and len(set.union(*parts)) == 13
    assert set(path.name for path in (tmp_path / 'data').glob('*.json')) == {
        'train.json', 'val.json', 'trainval.json', 'test.json'}
    sample = build(prepared, 'train')[0]
    assert sample['inputs'].shape == (3, 64, 64) and len(sample['data_samples'].gt_instances) >= 1


def test_the_prepared_config_survives_a_file_and_another_folder(tmp_path, monkeypatch):
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path)
    prepare(config(DIGITS), 'work').dump('config.py')
    monkeypatch.chdir(tmp_path / 'elsewhere')
    read = Config.fromfile('../config.py', import_custom_modules=False)
    assert len(build(read, 'val')) == 3 and build(read, 'val').metainfo['classes'] == CLASSES


def test_a_spaces_copy_of_the_network_has_the_classes_of_the_data_too(tmp_path):
    cfg = config(DIGITS)
    cfg.search.space = dict(type='WidthSpace', model=copy.deepcopy(cfg.model))
    prepared = prepare(cfg, tmp_path)
    assert prepared.search.space.model == prepared.model != cfg.model


def test_heads_evaluators_and_imports(tmp_path):
    prepared = prepare(config(DIGITS, custom_imports=dict(imports=['my.package', 'nasdet.models'])), tmp_path)
    roi_head = prepared.model.roi_head
    assert [head.num_classes for head in roi_head.bbox_head] == [10, 10]
    assert roi_head.mask_head.num_classes == roi_head.mask_head.loss.num_classes == 10
    assert (prepared.model.rpn_head.num_classes, prepared.model.backbone.num_classes) == (1, 1000)
    for split in ('val', 'test'):
        assert prepared[f'{split}_evaluator'] == dict(
            type='RawCocoMetric', metric=['bbox'], classwise=True, ann_file=str(tmp_path / 'data' / f'{split}.json'))
        assert prepared[f'{split}_cfg'].type == f'{split.capitalize()}Loop'
    assert prepared.custom_imports == dict(imports=['my.package', 'nasdet.models', 'nasdet.datasets'],
                                           allow_failed_imports=False)


def test_what_reads_the_pictures_is_kept(tmp_path):
    cfg = config(DIGITS)
    prepared = prepare(cfg, tmp_path)
    for split in ('train', 'val', 'test'):
        old, new = (part[f'{split}_dataloader'] for part in (cfg, prepared))
        assert {**new, 'dataset': None} == {**old, 'dataset': None}
        assert new.dataset.pipeline == old.dataset.pipeline and new.dataset.get('data_root') is None
        assert new.dataset.test_mode is (split != 'train')
    assert prepared.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=True)


def test_wrapped_datasets_are_found(tmp_path):
    wrapped = dict(type='RepeatDataset', times=3, dataset=dict(type='ConcatDataset', datasets=[coco_dataset()]))
    prepared = prepare(config(DIGITS, train_dataset=wrapped), tmp_path)
    assert len(build(prepared, 'train')) == 18
    check_splits(prepared)


def test_several_datasets_are_refused(tmp_path):
    joined = dict(type='ConcatDataset', datasets=[coco_dataset(), coco_dataset()])
    with pytest.raises(SearchError, match='train_dataloader joins 2 datasets'):
        prepare(config(DIGITS, train_dataset=joined), tmp_path)


def test_two_paths_are_enough(tmp_path):
    coco, ann_file, images = write_toy(tmp_path)
    prepared = prepare(config(dict(type='coco', ann_file=str(ann_file), image_dir=str(images), seed=1)), tmp_path)
    parts = [image_ids(prepared, split) for split in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [6, 2, 2] and len(set.union(*parts)) == 10
    assert build(prepared, 'train').metainfo['classes'] == ('cat', 'dog')


def test_own_test_data(tmp_path):
    _, ann_file, images = write_toy(tmp_path)
    _, test_file, test_images = write_toy(tmp_path, count=4, first_id=50, name='other')
    data = dict(type='coco', ann_file=str(ann_file), image_dir=str(images), test_ann_file=str(test_file),
                test_image_dir=str(test_images), val=3)
    prepared = prepare(config(data), tmp_path)
    assert [len(build(prepared, split)) for split in ('train', 'val', 'test')] == [7, 3, 4]
    assert image_ids(prepared, 'test') == {50, 51, 52, 53}
    assert len(json.loads((tmp_path / 'data' / 'trainval.json').read_text())['images']) == 10
    assert build(prepared, 'test')[0]['inputs'].shape == (3, 24, 32)


def test_a_test_split_that_the_search_has_seen_is_refused_unless_numbered_apart(tmp_path):
    _, ann_file, images = write_toy(tmp_path)
    _, test_file, test_images = write_toy(tmp_path, count=4, first_id=1, name='other')
    data = dict(type='coco', ann_file=str(ann_file), image_dir=str(images), test_ann_file=str(test_file),
                test_image_dir=str(test_images))
    with pytest.raises(SearchError, match='4 image ids are in both, such as 1; .* search.data.independent_ids=True'):
        prepare(config(data), tmp_path)
    prepared = prepare(config(dict(data, independent_ids=True)), tmp_path)
    assert image_ids(prepared, 'test') == {11, 12, 13, 14}
    same = dict(data, test_ann_file=str(ann_file), test_image_dir=str(images), independent_ids=True)
    with pytest.raises(SearchError, match='10 file names are in both'):
        prepare(config(same), tmp_path)


def test_without_search_data_the_config_s_own_datasets_are_split(tmp_path):
    _, ann_file, images = write_toy(tmp_path)
    _, test_file, test_images = write_toy(tmp_path, count=4, first_id=50, name='other')
    own = coco_dataset(ann_file.name, 'toy_images/', metainfo=dict(classes=('dog',)))
    test = coco_dataset(test_file.name, 'other_images/')
    for dataset in (own, test):
        dataset['data_root'] = str(tmp_path)
    prepared = prepare(config(None, own, test), tmp_path)
    assert [len(build(prepared, split)) for split in ('train', 'val', 'test')] == [8, 2, 4]
    assert prepared.model.roi_head.bbox_head[0].num_classes == 1
    own['metainfo'] = dict(classes=('dog', 'horse'))
    with pytest.raises(SearchError, match="names the class 'horse'"):
        prepare(config(None, own, test), tmp_path)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_split_that_has_lost_a_picture_is_refused(tmp_path, split):
    prepared = prepare(config(DIGITS), tmp_path)
    check_splits(prepared)
    dataset = prepared[f'{split}_dataloader'].dataset
    name = json.loads(Path(dataset.ann_file).read_text())['images'][-1]['file_name']
    (Path(dataset.data_prefix.img) / name).unlink()
    with pytest.raises(SearchError, match=f'picture .*{name} does not exist'):
        check_splits(prepared)
    Path(dataset.ann_file).unlink()
    with pytest.raises(SearchError, match=f'the {split} split of this search, does not exist any more'):
        check_splits(prepared)


@pytest.mark.parametrize('data, sentence', [
    (dict(type='digit'), "unknown type 'digit': did you mean 'digits'"),
    (dict(type='coco', ann_file='a.json'), "missing a required argument: 'image_dir'"),
    (dict(type='digits', trian=5), "unexpected keyword argument 'trian'"),
    (dict(type='coco', ann_file='/nowhere/a.json', image_dir='/nowhere'), '/nowhere/a.json does not exist'),
    (None, 'data/coco/none.json does not exist')])
def test_faults_of_search_data(tmp_path, data, sentence):
    with pytest.raises(SearchError, match=sentence):
        prepare(config(data), tmp_path)


def test_faults_of_the_config(tmp_path):
    cfg = config(DIGITS)
    cfg.pop('train_dataloader')
    with pytest.raises(SearchError, match='has no train_dataloader'):
        prepare(cfg, tmp_path)
    cfg = config(DIGITS)
    cfg.model = ConfigDict(type='RPN', rpn_head=dict(num_classes=1))
    with pytest.raises(SearchError, match='no head of the model RPN has num_classes'):
        prepare(cfg, tmp_path)
    cfg = config(DIGITS)
    cfg.train_dataloader.dataset.pipeline[1].with_mask = True
    with pytest.raises(SearchError, match='trains masks .* has no segmentation'):
        prepare(cfg, tmp_path)


def test_one_evaluation_dataloader_serves_both(tmp_path):
    cfg = config(DIGITS, val_cfg=None)
    cfg.val_dataloader = None
    prepared = prepare(cfg, tmp_path)
    assert [len(build(prepared, split)) for split in ('train', 'val', 'test')] == [6, 3, 4]
    assert prepared.val_cfg.type == 'ValLoop'


@pytest.mark.parametrize('name, classes', [('bccd_demo', 3), ('coco_mini', 80)])
def test_real_data(tmp_path, shared_data, name, classes):
    folder = shared_data / name
    data = dict(type='coco', ann_file=str(folder / 'train.json'), image_dir=str(folder / 'images'),
                test_ann_file=str(folder / 'val.json'), val=10)
    prepared = prepare(config(data), tmp_path)
    totals = [len(json.loads((folder / f'{half}.json').read_text())['images']) for half in ('train', 'val')]
    assert [len(build(prepared, split)) for split in ('train', 'val', 'test')] == [totals[0] - 10, 10, totals[1]]
    assert prepared.model.roi_head.bbox_head[0].num_classes == classes
    coco = json.loads((folder / 'val.json').read_text())
    names = {category['id']: category['name'] for category in coco['categories']}
    dataset = build(prepared, 'test')
    for info in dataset:
        instances = info['data_samples'].gt_instances
        expected = sorted(names[box['category_id']] for box in coco['annotations']
                          if box['image_id'] == info['data_samples'].img_id and not box['iscrowd'])
        assert sorted(dataset.metainfo['classes'][label] for label in instances.labels) == expected


def test_a_broken_file_stops_before_anything_is_written(tmp_path):
    coco, ann_file, images = write_toy(tmp_path)
    coco['annotations'][0]['category_id'] = 12
    write(ann_file, coco)
    with pytest.raises(SearchError, match='unknown category id 12'):
        prepare(config(dict(type='coco', ann_file=str(ann_file), image_dir=str(images))), tmp_path / 'work')
    assert not (tmp_path / 'work').exists()
