import pytest
from mmengine.config import Config

from nasdet.datasets.resolution import set_resolution, steps


def config(train_steps, val_scale=(1333, 800), **model):
    load, pack = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')
    val = [load, dict(type='Resize', scale=val_scale, keep_ratio=True), pack]
    return Config(dict(model=model, train_dataloader=dict(dataset=dict(pipeline=[load, *train_steps, pack])),
                       val_dataloader=dict(dataset=dict(pipeline=val))))


def test_every_size_is_multiplied_by_one_factor():
    cfg = config([dict(type='RandomResize', scale=[(1333, 640), (1333, 800)]), dict(type='Pad', size=(1400, 1400)),
                  dict(type='RandomCrop', crop_size=(800, 400))])
    set_resolution(cfg, 667)
    resize, pad, crop = list(steps(cfg.train_dataloader.dataset))[1:-1]
    assert resize['scale'] == [(667, 320), (667, 400)]
    assert pad['size'] == (701, 701) and crop['crop_size'] == (400, 200)
    assert list(steps(cfg.val_dataloader.dataset))[1]['scale'] == (667, 400)


def test_wrapped_datasets_and_alternatives():
    choice = dict(type='RandomChoice', transforms=[[dict(type='Resize', scale=(128, 128))],
                                                   [dict(type='RandomCrop', crop_type='relative_range',
                                                         crop_size=(0.5, 0.5))]])
    cfg = config([choice], val_scale=(128, 128))
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    set_resolution(cfg, 64)
    _, resize, crop, _ = steps(cfg.train_dataloader.dataset)
    assert resize['scale'] == (64, 64) and crop['crop_size'] == (0.5, 0.5)


@pytest.mark.parametrize('cfg, message', [
    (config([dict(type='Mosaic')]), "'Mosaic'"),
    (config([], val_scale=None), 'no Resize'),
    (config([], data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad')])), 'BatchFixedSizePad'),
])
def test_unknown_pipelines_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        set_resolution(cfg, 64)
