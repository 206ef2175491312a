"""A search's splits of labelled images: what a prepared config reads, and what is refused before any work."""

import copy
import inspect

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from PIL import Image

from nasdet.datasets import check_splits, classification_task, detection_task, prepare
from nasdet.datasets.tasks import NAMES, task_of
from nasdet.errors import SearchError
from nasdet.estimators.fingerprint import hash_config

SPLITS = ('train', 'val', 'test')
DIGITS = dict(type='HandwrittenDigits', size=8, val_size=50, test_size=60, train_size=100)
CROP = dict(type='RandomCrop', size=8, padding=1)


def config(data=None, own=None, model=None, **more) -> Config:
    own = own or dict(type='HandwrittenDigits', size=16)
    loaders = {f'{split}_dataloader': dict(batch_size=4, dataset=dict(own, split=split)) for split in SPLITS}
    loaders['train_dataloader'].update(drop_last=True)
    loaders['train_dataloader']['dataset']['transforms'] = [CROP]
    search = dict(space=dict(type='Toy'), **(dict(data=data) if data else {}))
    model = model or dict(type='ImageClassifier', backbone=dict(type='ResNet10'), num_classes=1, in_channels=512)
    return Config(dict(model=model, search=search, val_evaluator=dict(type='Accuracy', topk=(1, 2)),
                       **{**loaders, **more}))


def build(prepared, split):
    return DATASETS.build(copy.deepcopy(prepared[f'{split}_dataloader'].dataset))


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (('train', 40), ('test', 10)):
        np.savez(tmp_path / f'{name}.npz', x=rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
                 y=np.arange(count) % 2, class_names=np.array(['cat', 'dog']))
    return dict(type='NpzImages', train_file=str(tmp_path / 'train.npz'), test_file=str(tmp_path / 'test.npz'))


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('apple', 'pear'):
        folder = tmp_path / 'images' / name
        folder.mkdir(parents=True)
        for number in range(10):
            Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(folder / f'{number}.png')
    return dict(type='ImageFolder', root=str(tmp_path / 'images'), val_size=4, test_size=4)


def test_both_tasks_answer_the_same_questions():
    for name in NAMES:
        ours, theirs = getattr(classification_task, name), getattr(detection_task, name)
        assert isinstance(ours, str) == isinstance(theirs, str)
        if not isinstance(ours, str):
            assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters), name


def test_search_data_replaces_the_images_and_keeps_the_transforms(tmp_path):
    cfg = config(DIGITS)
    before = copy.deepcopy(cfg._cfg_dict)
    prepared = prepare(cfg, tmp_path)
    assert cfg._cfg_dict == before and task_of(prepared) is classification_task
    built = {split: build(prepared, split) for split in SPLITS}
    assert [len(built[split]) for split in SPLITS] == [100, 50, 60]
    assert len(set.union(*(set(built[split].indices) for split in SPLITS))) == 210
    assert prepared.train_dataloader.dataset.transforms == [CROP] and prepared.val_dataloader.dataset.transforms == []
    assert prepared.train_dataloader.collate_fn.type == 'default_collate'
    assert prepared.model.num_classes == 10 and prepared.search.objective == 'accuracy/top1'
    assert prepared.test_evaluator == prepared.val_evaluator == dict(type='Accuracy', topk=(1, 2))
    assert prepared.val_cfg.type == 'ValLoop' and prepared.custom_imports.imports[-1] == 'nasdet.datasets'
    assert classification_task.metric_names(prepared) == ['accuracy/top1', 'accuracy/top2']
    assert list(tmp_path.iterdir()) == []


def test_without_search_data_the_config_s_own_images_are_split(tmp_path):
    cfg = config(None, DIGITS)
    cfg.val_dataloader = None       # one dataloader for evaluation serves both
    prepared = prepare(cfg, tmp_path)
    assert [prepared[f'{split}_dataloader'].dataset.split for split in SPLITS] == list(SPLITS)
    assert [len(build(prepared, split)) for split in SPLITS] == [100, 50, 60]


def test_paths_become_absolute_and_classes_are_counted(arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared = prepare(config(dict(arrays, train_file='train.npz', val_size=10)), 'work')
    assert prepared.train_dataloader.dataset.train_file == arrays['train_file']
    assert prepared.model.num_classes == 2
    assert [len(build(prepared, split)) for split in SPLITS] == [30, 10, 10]


def test_a_head_in_the_backbone_has_the_classes(tmp_path):
    model = dict(type='ImageClassifier', backbone=dict(type='DetNASNet', head=True))
    assert prepare(config(DIGITS, model=model), tmp_path).model.backbone.num_classes == 10


def test_confirm_trains_on_all_that_the_search_saw(tmp_path):
    prepared = prepare(config(DIGITS), tmp_path)
    seen = set(build(prepared, 'train').indices) | set(build(prepared, 'val').indices)
    before = classification_task.digests(prepared)
    classification_task.refuse_seen(prepared)
    classification_task.join_splits(prepared)
    assert set(build(prepared, 'train').indices) == seen and len(build(prepared, 'train')) == 150
    assert classification_task.digests(prepared) == before and before['trainval'] != before['test']


def test_a_part_has_the_classes_in_equal_shares(tmp_path):
    prepared = prepare(config(DIGITS), tmp_path)
    dataset = prepared.val_dataloader.dataset
    part, again = (DATASETS.build(classification_task.limited(dataset, 20)) for _ in range(2))
    assert len(part) == 20 and np.bincount([part[index]['data_samples'] for index in range(20)]).tolist() == [2] * 10
    assert all(torch.equal(part[index]['inputs'], again[index]['inputs']) for index in range(20))
    assert len(DATASETS.build(classification_task.limited(dataset, 50))) == 50
    for images, words in ((51, '51 images asked for, but there are 50'), (5, '5 of 50 images of 10 classes cannot')):
        with pytest.raises(ValueError, match=words):
            classification_task.check_limit(dataset, images)


def test_images_for_statistics_are_spread_over_a_split_and_mixed():
    indices = classification_task.spread(1000, 100)
    assert sorted(indices) == sorted(detection_task.spread(1000, 100)) and len(set(indices)) == 100
    assert all(np.ptp(batch) > 500 for batch in np.split(indices, 5))       # of a folder that is sorted by class


def test_another_resolution_is_the_last_transform(folders, tmp_path):
    cfg = config(folders)
    prepared = prepare(cfg, tmp_path)
    classification_task.set_resolution(prepared, 18)
    assert build(prepared, 'train')[0]['inputs'].shape == (3, 18, 18)       # 8 x 8 after the crop
    assert build(prepared, 'val')[0]['inputs'].shape == (3, 18, 14)         # 9 x 7 pixels
    assert build(prepared, 'test')[0]['inputs'].shape == (3, 9, 7)


def test_the_fingerprint_follows_what_files_say_not_where_they_lie(arrays, folders, tmp_path):
    before = {}
    for data in (arrays, folders):
        before[data['type']] = hash_config(prepare(config(data), tmp_path), recipe=True)
    (tmp_path / 'train.npz').rename(tmp_path / 'moved.npz')
    (tmp_path / 'images').rename(tmp_path / 'moved')
    moved_arrays = dict(arrays, train_file=str(tmp_path / 'moved.npz'))
    moved_folders = dict(folders, root=str(tmp_path / 'moved'))
    for data in (moved_arrays, moved_folders):
        assert hash_config(prepare(config(data), tmp_path), recipe=True) == before[data['type']]
    with np.load(tmp_path / 'moved.npz') as stored:
        np.savez(tmp_path / 'moved.npz', **{**stored, 'x': 255 - stored['x']})
    Image.new('RGB', (7, 9)).save(tmp_path / 'moved' / 'pear' / '10.png')
    for data in (moved_arrays, moved_folders):
        assert hash_config(prepare(config(data), tmp_path), recipe=True) != before[data['type']]


def test_images_that_are_lost_or_broken_are_refused_on_resume(arrays, folders, tmp_path):
    prepared = prepare(config(arrays), tmp_path)
    check_splits(prepared)
    (tmp_path / 'train.npz').unlink()
    with pytest.raises(SearchError, match='the train split of NpzImages cannot be read: .*train.npz'):
        check_splits(prepared)
    prepared = prepare(config(folders), tmp_path)
    for path in (tmp_path / 'images' / 'pear').iterdir():
        path.write_bytes(b'')
    with pytest.raises(SearchError, match='picture .*png is empty'):
        check_splits(prepared)


@pytest.mark.parametrize('data, words', [
    (dict(type='HandwritenDigits'), "unknown type 'HandwritenDigits': did you mean 'HandwrittenDigits'"),
    (dict(type='digits'), "unknown type 'digits': a classifier knows CIFAR, HandwrittenDigits"),
    (dict(type='HandwrittenDigits', valsize=3), 'cannot be read: .*valsize'),
    (dict(DIGITS, val_size=0), 'the val split of HandwrittenDigits has 0 images'),
    (dict(DIGITS, val_size=5), '5 of .* images of 10 classes cannot be taken'),
    (dict(DIGITS, train_size=10, val_size=9), '9 of .* images of 10 classes cannot be taken'),
    (dict(type='ImageFolder', root='/nowhere/images'), 'the train split of ImageFolder cannot be read: .*/nowhere/im'),
    (dict(type='NpzImages', train_file='/nowhere/a.npz', test_file='b.npz'), 'cannot be read: .*/nowhere/a.npz'),
    (dict(type='CIFAR', root='/nowhere'), 'cannot be read: Dataset not found or corrupted'),
])
def test_faults_of_the_data_are_one_sentence(tmp_path, data, words):
    with pytest.raises(SearchError, match=words) as error:
        prepare(config(data), tmp_path)
    assert '\n' not in str(error.value)


def test_a_test_split_of_training_images_is_refused(arrays, folders, tmp_path):
    with pytest.raises(SearchError, match='train.npz is the same as the training images'):
        prepare(config(dict(arrays, test_file=arrays['train_file'])), tmp_path)
    with pytest.raises(SearchError, match='overlap the training images'):
        prepare(config(dict(folders, test_root=folders['root'])), tmp_path)


@pytest.mark.parametrize('change, words', [
    (dict(train_dataloader=dict(dataset=dict(split='trian'))), "one of train, val, trainval, test, not 'trian'"),
    (dict(test_dataloader=dict(dataset=dict(seed=1))), 'test_dataloader.dataset has seed=1, but that of train'),
    (dict(train_dataloader=dict(batch_size=2000)), 'make no batch of 2000'),
    (dict(train_dataloader=dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2,
                                             dataset=dict(type='HandwrittenDigits', split='train')))),
     'without a wrapper, not RepeatDataset'),
    (dict(val_evaluator=dict(topk=(1, 11))), 'top-11 accuracy, but the data have 10 classes'),
    (dict(model=dict(_delete_=True, type='RetinaNet', bbox_head=dict(num_classes=1))), 'RetinaNet has no num_classes'),
])
def test_faults_of_the_config_are_one_sentence(tmp_path, change, words):
    cfg = config()
    cfg.merge_from_dict(change)
    with pytest.raises(SearchError, match=words):
        prepare(cfg, tmp_path)


def test_images_that_make_no_batch_are_refused(folders, tmp_path):
    Image.new('RGB', (20, 20)).save(tmp_path / 'images' / 'pear' / '00.png')
    for path in (tmp_path / 'images' / 'apple').iterdir():
        Image.new('RGB', (11, 11)).save(path)
    with pytest.raises(SearchError, match='of the val split have different sizes'):
        prepare(config(folders), tmp_path)


def test_a_classifier_on_boxes_is_refused(tmp_path):
    with pytest.raises(SearchError, match='ImageClassifier is trained on labelled images, .* has a CocoDataset'):
        prepare(config(own=dict(type='CocoDataset')), tmp_path)
