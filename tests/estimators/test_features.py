import logging
import multiprocessing
import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS

from nasdet.errors import SearchError
from nasdet.estimators import SupernetEstimator
from nasdet.estimators.features import FeatureCache, StoredBatches
from nasdet.protocol import Budget
from tests.estimators.toys import SMALL, SearchedBackboneSpace, genotypes

WEIGHTS = 'supernet/weights.pth'


@pytest.fixture
def log(caplog):
    """What the cache logs, also after a search of another test has sent nasdet's log elsewhere."""
    logger = logging.getLogger('nasdet.estimators.features')
    caplog.set_level(logging.INFO, logger.name)
    logger.addHandler(caplog.handler)
    logger.propagate = False
    yield caplog
    logger.propagate = True
    logger.removeHandler(caplog.handler)


@pytest.fixture
def make(space, config, trained, tmp_path):
    """Makes an estimator of the trained supernet, prepared and set up, with its features in ``tmp_path/features``."""
    def build(checkpoint=trained / WEIGHTS, **changes):
        settings = {**SMALL, 'cache_features': True, 'checkpoint': str(checkpoint), **changes}
        estimator = SupernetEstimator(space, config, tmp_path, **settings)
        estimator.check()
        estimator.prepare()
        estimator.setup()
        return estimator
    return build


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / 'features').iterdir() if path.is_dir())


def found(estimator, genotype):
    """Boxes and scores of a path on search-val."""
    with estimator._on_path(genotype):
        samples = [sample.pred_instances for batch in estimator._batches('val', None)
                   for sample in estimator.scorer.run(batch, 'predict')]
    return torch.cat([torch.cat([boxes.bboxes, boxes.scores[:, None]], 1) for boxes in samples])


# ---- what is kept

@pytest.mark.parametrize('amp', [False, True])
def test_kept_features_score_as_the_whole_network_bit_for_bit(make, space, amp):
    cached, plain = make(amp=amp), make(amp=amp, cache_features=False)
    assert isinstance(cached._batches('val', None), StoredBatches)
    assert isinstance(plain._batches('val', None), list)
    stored = next(iter(cached._batches('val', None)))['maps']
    assert {level.dtype for level in stored[1:]} == {torch.bfloat16 if amp else torch.float32}
    assert stored[0].numel() == 0       # stride 4, which this neck does not read
    genotype = genotypes(space, 1)[0]
    assert torch.equal(found(cached, genotype), found(plain, genotype))
    for budget in (Budget(), Budget(images=5)):     # 5: one batch of four and one of one
        first, second = (one.evaluate(genotype, budget, seed=0) for one in (cached, plain))
        assert first.metrics == second.metrics and first.cost['images'] == second.cost['images']
    assert cached.fingerprint == plain.fingerprint


def toy_loader(sizes=((8, 8), (4, 12), (8, 8))):
    """Batches of two images whose maps differ in size from batch to batch."""
    batches = [dict(number=number, size=size) for number, size in enumerate(sizes)]

    class Loader(list):
        dataset = range(2 * len(sizes))
    return Loader(batches)


def toy_maps(batch):
    generator = torch.Generator().manual_seed(batch['number'])
    maps = torch.randn(2, 3, *batch['size'], generator=generator)
    infos = [dict(img_id=2 * batch['number'] + index, ori_shape=batch['size'], scale_factor=(0.5, 0.5))
             for index in range(2)]
    return dict(maps=(maps, maps.bfloat16().to(memory_format=torch.channels_last)), metainfo=infos)


def test_batches_keep_sizes_types_strides_and_infos(tmp_path):
    loader = toy_loader()
    read = list(FeatureCache(tmp_path, 1).load('val', 'key', loader, toy_maps))
    for batch, expected in zip(read, map(toy_maps, loader), strict=True):
        for level, original in zip(batch['maps'], expected['maps'], strict=True):
            assert torch.equal(level, original) and level.dtype == original.dtype
            assert level.stride() == original.stride()
        assert [sample.metainfo for sample in batch['data_samples']] == expected['metainfo']


def test_a_network_that_writes_into_its_inputs_spoils_nothing(tmp_path):
    batches = FeatureCache(tmp_path, 1).load('val', 'key', toy_loader(), toy_maps)
    for batch in batches:
        batch['maps'][0].zero_()
    assert torch.equal(next(iter(batches))['maps'][0], toy_maps(toy_loader()[0])['maps'][0])


# ---- when it is written

def slow_maps(batch, folder):
    """Maps that take their time and leave a trace of their computation."""
    (folder / f'{multiprocessing.current_process().name}-{batch["number"]}').touch()
    time.sleep(0.05)
    return toy_maps(batch)


def load_together(folder, barrier):
    barrier.wait()
    cache = FeatureCache(folder / 'features', 1)
    batches = cache.load('val', 'key', toy_loader(), lambda batch: slow_maps(batch, folder))
    assert all(torch.equal(batch['maps'][0], toy_maps(one)['maps'][0])
               for batch, one in zip(batches, toy_loader(), strict=True))


def test_of_processes_that_start_at_once_one_writes(tmp_path):
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(3)
    workers = [context.Process(target=load_together, args=(tmp_path, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    traces = {path.name.rpartition('-')[0] for path in tmp_path.glob('*-?')}
    assert len(traces) == 1 and len(list(tmp_path.glob('*-?'))) == 3


def test_what_fails_or_was_killed_half_way_leaves_no_set(tmp_path):
    cache = FeatureCache(tmp_path, 1)

    def fail(batch):
        if batch['number'] == 1:
            raise KeyboardInterrupt
        return toy_maps(batch)

    with pytest.raises(KeyboardInterrupt):
        cache.load('val', 'key', toy_loader(), fail)
    assert [path.name for path in tmp_path.iterdir()] == ['lock']
    killed = tmp_path / 'val-key.partial'
    killed.mkdir()
    (killed / '000000.pt').write_bytes(b'torn')
    assert len(list(cache.load('val', 'key', toy_loader(), toy_maps))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ['lock', 'val-key']


def test_prepare_writes_all_that_workers_read(make, tmp_path, monkeypatch):
    make()
    names = folders(tmp_path)
    assert [name.rpartition('-')[0] for name in names] == ['search-train-8', 'search-val-12']
    monkeypatch.setattr(FeatureCache, '_write', None)       # a second writing would fail
    make()
    assert folders(tmp_path) == names


def changed(trained, tmp_path, prefix):
    """Return a checkpoint in which the first tensor of a part differs."""
    weights = torch.load(trained / WEIGHTS, weights_only=True)
    name = next(name for name in weights['state_dict'] if name.startswith(prefix))
    weights['state_dict'][name] += 1
    path = tmp_path / f'{prefix}.pth'
    torch.save(weights, path)
    return path


def test_features_belong_to_the_backbones_weights(make, trained, tmp_path, log):
    make()
    first = folders(tmp_path)
    make(checkpoint=changed(trained, tmp_path, 'bbox_head'))
    assert folders(tmp_path) == first and not [line for line in log.messages if 'not used' in line]
    make(checkpoint=changed(trained, tmp_path, 'backbone'))
    assert len(folders(tmp_path)) == 4
    stale = [line for line in log.messages if 'is of another supernet' in line]
    assert len(stale) == 2 and all(any(name in line for line in stale) for name in first)


def test_the_key_holds_images_precision_and_backbone_and_nothing_else(make, config, tmp_path):
    estimator = make()
    keys = [estimator._key('val', None)]
    config.model.bbox_head.num_classes = 7
    config.optim_wrapper.optimizer.lr = 1.0
    assert estimator._key('val', None) == keys[0]

    pipeline = config.val_dataloader.dataset.pipeline
    other = tmp_path / 'other.json'
    shutil.copyfile(config.test_dataloader.dataset.ann_file, other)
    changes = [
        lambda: next(step for step in pipeline if step.type == 'Resize').update(scale=(96, 96)),
        lambda: config.val_dataloader.dataset.update(ann_file=str(other)),
        lambda: config.model.data_preprocessor.update(pad_size_divisor=64),
        lambda: setattr(estimator, 'batch_size', 6),
        lambda: setattr(estimator, 'amp', True),
        lambda: setattr(estimator, 'threads', 2),
        lambda: next(estimator.scorer.model.backbone.buffers()).add_(1e-6)]
    for change in changes:
        change()
        keys.append(estimator._key('val', None))
    keys += [estimator._key('val', 5), estimator._key('train', None)]
    assert len(set(keys)) == 10


# ---- what is refused, and before what

def fresh(space, config, tmp_path, **changes):
    """Return an estimator whose supernet is not trained yet."""
    return SupernetEstimator(space, config, tmp_path, **{**SMALL, 'cache_features': True, **changes})


def test_the_size_is_announced_before_anything_is_trained(make, space, config, tmp_path, log):
    fresh(space, config, tmp_path, features_dir=str(tmp_path / 'elsewhere')).check()
    make()
    size = sum(level.nbytes for path in (tmp_path / 'features').rglob('*.pt')
               for level in torch.load(path, weights_only=True)['maps'])
    # of the nine images for recalibration eight are used: the last would be a batch of its own
    expected = f'features of 20 images: {size / 2 ** 20:.1f} MiB in {tmp_path / "elsewhere"}'
    assert expected in log.messages
    assert [path.name for path in (tmp_path / 'elsewhere').iterdir()] == ['lock']


def test_features_above_the_limit_or_the_free_space_are_refused(space, config, tmp_path, monkeypatch):
    with pytest.raises(SearchError, match=r'features of 20 images: .* but cache_gigabytes=1e-06: raise it'):
        fresh(space, config, tmp_path, cache_gigabytes=1e-6).check()
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=2 ** 10))
    with pytest.raises(SearchError, match=r'but its disk has 0\.0 MiB left: make room'):
        fresh(space, config, tmp_path).check()
    assert not (tmp_path / 'supernet').exists()


def test_sets_share_the_limit(tmp_path):
    cache = FeatureCache(tmp_path, 15e3 / 2 ** 30)     # a set takes 3 kB, its files 10 kB
    cache.load('val', 'one', toy_loader(), toy_maps)
    with pytest.raises(SearchError, match='where others take'):
        cache.load('val', 'two', toy_loader(), toy_maps)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['lock', 'val-one']


def test_later_images_that_are_larger_are_refused_too(tmp_path):
    cache = FeatureCache(tmp_path, 20e3 / 2 ** 30)
    with pytest.raises(SearchError, match='later images are larger than the first'):
        cache.load('val', 'key', toy_loader(((8, 8), (64, 64))), toy_maps)
    assert [path.name for path in tmp_path.iterdir()] == ['lock']


def test_a_searched_backbone_is_refused_by_name(config, tmp_path):
    space = SearchedBackboneSpace(num_cells=6, neck=dict(out_channels=8, stack_times=1))
    with pytest.raises(ValueError, match='SearchedBackboneSpace searches backbone, neck of a RetinaNet: leave'):
        fresh(space, config, tmp_path).check()


# ---- a backbone that is not trained either

def test_a_frozen_pretrained_backbone_stays_as_it_is(space, config, tmp_path):
    torch.manual_seed(3)
    pretrained = MODELS.build(config.model.backbone).state_dict()
    for name, tensor in pretrained.items():
        if name.endswith('running_mean'):
            tensor += 0.1
    torch.save(pretrained, tmp_path / 'pretrained.pth')
    config.model.backbone.update(frozen_stages=4, norm_eval=True,
                                 init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'pretrained.pth')))
    estimator = fresh(space, config, tmp_path, epochs=1)
    estimator.check()
    estimator.prepare()
    trained = torch.load(tmp_path / WEIGHTS, weights_only=True)['state_dict']
    assert all(torch.equal(trained[f'backbone.{name}'], tensor) for name, tensor in pretrained.items())
    estimator.setup()
    assert estimator.evaluate(genotypes(space, 1)[0], Budget(), seed=0).cost['images'] == 12
