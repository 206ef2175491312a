# The same search on the built-in data with few pictures, as the tests run it.
_base_ = ['../retinanet_r50_coco.py']
size = (128, 128)
model = dict(data_preprocessor=dict(pad_size_divisor=128), backbone=dict(init_cfg=None))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
search = dict(
    data=dict(_delete_=True, type='digits', train=24, val=8, test=8, size=128, seed=0),
    space=dict(input_shape=(3, 128, 128)),
    trainer=dict(num_workers=0),
    control=dict(estimator=dict(num_workers=0)))
