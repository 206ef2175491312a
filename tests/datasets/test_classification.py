import pickle

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from PIL import Image
from torchvision.datasets import cifar

from nasdet.datasets.classification_splits import indices_of, split_indices

SPLITS = ('train', 'val', 'test')


def built(**cfg):
    return {split: DATASETS.build(dict(split=split, **cfg)) for split in SPLITS}


def pixels(dataset):
    return [dataset[index]['inputs'].numpy().tobytes() for index in range(len(dataset))]


def labels(dataset):
    return [dataset[index]['data_samples'] for index in range(len(dataset))]


def test_a_split_is_complete_disjoint_and_stratified():
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    parts = split_indices(classes, val_size=20, test_size=0.1, seed=3)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert [len(parts[name]) for name in SPLITS] == [70, 20, 10]
    assert np.bincount(classes[parts['test']]).tolist() == [6, 3, 1]
    assert np.bincount(classes[parts['val']]).tolist() == [12, 6, 2]


def test_a_split_depends_on_the_seed_alone():
    classes = np.arange(200) % 4
    first, again, other = (split_indices(classes, 0.2, 0.2, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in SPLITS)
    assert not np.array_equal(first['test'], other['test'])
    assert not np.array_equal(first['val'], other['val'])


def test_a_size_of_zero_gives_an_empty_split():
    parts = split_indices([0, 1] * 5, val_size=0, test_size=0, seed=0)
    assert [len(parts[name]) for name in SPLITS] == [10, 0, 0]


def test_a_part_of_train_leaves_the_other_splits_as_they_are():
    classes = np.repeat([0, 1], 50)
    whole, part = split_indices(classes, 20, 10, 0), split_indices(classes, 20, 10, 0, train_size=30)
    assert np.array_equal(whole['val'], part['val']) and np.array_equal(whole['test'], part['test'])
    assert set(part['train']) < set(whole['train']) and np.bincount(classes[part['train']]).tolist() == [15, 15]
    assert np.array_equal(split_indices(classes, 20, 10, 0, train_size=70)['train'], whole['train'])
    both = indices_of('trainval', classes, 20, 10, 0, train_size=30)
    assert np.array_equal(both, np.sort(np.concatenate([part['train'], part['val']])))


def test_a_split_too_small_for_the_classes_is_refused():
    with pytest.raises(ValueError, match='should be greater or equal to the number of classes'):
        split_indices([0, 1, 2] * 5, val_size=2, test_size=0, seed=0)


def test_the_digits():
    splits = built(type='HandwrittenDigits', size=16)
    assert [len(splits[name]) for name in SPLITS] == [1200, 297, 300]
    sample = splits['train'][0]['inputs']
    assert (tuple(sample.shape), sample.dtype) == ((3, 16, 16), torch.uint8)
    assert torch.equal(sample[0], sample[2])
    assert max(int(splits['val'][index]['inputs'].max()) for index in range(20)) == 255
    assert splits['test'].metainfo['classes'] == tuple('0123456789')
    indices = np.concatenate([splits[name].indices for name in SPLITS])
    assert sorted(indices) == list(range(1797))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="one of train, val, trainval, test, not 'valid'"):
        DATASETS.build(dict(type='HandwrittenDigits', split='valid'))


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (('train', 40), ('test', 10)):
        np.savez(tmp_path / f'{name}.npz', x=rng.integers(0, 256, (count, 8, 6, 3), dtype=np.uint8),
                 y=np.arange(count) % 2, class_names=np.array(['cat', 'dog']))
    return tmp_path


def test_arrays(arrays):
    splits = built(type='NpzImages', train_file=str(arrays / 'train.npz'), test_file=str(arrays / 'test.npz'))
    assert [len(splits[name]) for name in SPLITS] == [36, 4, 10]
    assert splits['val'].metainfo['classes'] == ('cat', 'dog')
    with np.load(arrays / 'test.npz') as stored:
        assert np.array_equal(splits['test'][3]['inputs'].permute(1, 2, 0).numpy(), stored['x'][3])
    assert labels(splits['test']) == [0, 1] * 5
    together = pixels(splits['train']) + pixels(splits['val']) + pixels(splits['test'])
    assert len(set(together)) == 50


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for root, count in (('train', 10), ('test', 2)):
        for name in ('apple', 'pear'):
            folder = tmp_path / root / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).save(folder / f'{number}.png')
    return tmp_path


def test_image_folders_with_a_test_folder(folders):
    splits = built(type='ImageFolder', root=str(folders / 'train'), test_root=str(folders / 'test'), val_size=4)
    assert [len(splits[name]) for name in SPLITS] == [16, 4, 4]
    assert labels(splits['test']) == [0, 0, 1, 1]
    assert splits['train'].metainfo['classes'] == ('apple', 'pear')
    assert len(set(pixels(splits['train']) + pixels(splits['val']) + pixels(splits['test']))) == 24


def test_a_test_folder_of_other_classes_is_refused(folders):
    (folders / 'test' / 'apple').rename(folders / 'test' / 'quince')      # pear would be class 0
    cfg = dict(type='ImageFolder', root=str(folders / 'train'), test_root=str(folders / 'test'))
    with pytest.raises(ValueError, match='test has not the classes of the training images.*apple, quince'):
        DATASETS.build(dict(cfg, split='test'))
    assert len(DATASETS.build(dict(cfg, split='train'))) == 18


def test_test_arrays_of_other_classes_are_refused(arrays):
    cfg = dict(type='NpzImages', train_file=str(arrays / 'train.npz'), test_file=str(arrays / 'test.npz'), split='test')
    with np.load(arrays / 'test.npz') as stored:
        images, classes = stored['x'], stored['y']
    np.savez(arrays / 'test.npz', x=images, y=classes * 0 + 1)      # one class only: its label stays 1
    assert DATASETS.build(cfg).metainfo['classes'] == ('cat', 'dog')
    np.savez(arrays / 'test.npz', x=images, y=classes, class_names=['dog', 'cat'])
    with pytest.raises(ValueError, match='test.npz has not the classes of the training images, or another order'):
        DATASETS.build(cfg)
    np.savez(arrays / 'test.npz', x=images, y=classes + 1)
    with pytest.raises(ValueError, match='has label 2, and the training images 2 classes'):
        DATASETS.build(cfg)


def test_image_folders_without_a_test_folder(folders):
    splits = built(type='ImageFolder', root=str(folders / 'train'), val_size=4, test_size=6)
    assert [len(splits[name]) for name in SPLITS] == [10, 4, 6]
    assert len(set(pixels(splits['train']) + pixels(splits['val']) + pixels(splits['test']))) == 20


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """CIFAR-10's files with 4 images a batch; torchvision's checksums do not apply to them."""
    monkeypatch.setattr(cifar, 'check_integrity', lambda *args, **kwargs: True)
    folder = tmp_path / 'cifar-10-batches-py'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f'data_batch_{number}' for number in range(1, 6)), 'test_batch']:
        batch = dict(data=rng.integers(0, 256, (4, 3072), dtype=np.uint8), labels=[0, 0, 1, 1])
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / 'batches.meta').write_bytes(pickle.dumps(dict(label_names=list('abcdefghij'))))
    return str(tmp_path)


def test_cifar_carves_val_out_of_its_training_images(small_cifar):
    splits = built(type='CIFAR', root=small_cifar, val_size=6)
    assert [len(splits[name]) for name in SPLITS] == [14, 6, 4]
    assert splits['train'].metainfo['classes'] == tuple('abcdefghij')
    assert len(set(pixels(splits['train']) + pixels(splits['val']) + pixels(splits['test']))) == 24


def test_cifar_is_not_downloaded_unasked(tmp_path):
    with pytest.raises(RuntimeError, match='download=True'):
        DATASETS.build(dict(type='CIFAR', root=str(tmp_path), split='train', num_classes=100))


def test_cifar_has_10_or_100_classes(tmp_path):
    with pytest.raises(ValueError, match='10 or 100 classes, not 20'):
        DATASETS.build(dict(type='CIFAR', root=str(tmp_path), split='train', num_classes=20))


def test_the_real_subset_of_cifar10(shared_data):
    folder = shared_data / 'cifar10_subset'
    splits = built(type='NpzImages', train_file=str(folder / 'train.npz'), test_file=str(folder / 'test.npz'),
                   val_size=1000)
    assert [len(splits[name]) for name in SPLITS] == [4000, 1000, 1000]
    assert np.bincount(labels(splits['val'])).tolist() == [100] * 10
    assert splits['train'].metainfo['classes'][0] == 'airplane'
