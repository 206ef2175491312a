# The same with fewer and narrower blocks, on the built-in data with few pictures, as the tests run it.
_base_ = ['../retinanet_1300m_coco_evolution.py']
size = (128, 128)
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
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
# Narrow, so that a CPU takes seconds.
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    neck=dict(out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1))
search = dict(
    data=dict(_delete_=True, type='digits', train=24, val=8, test=8, size=128, seed=0),
    space=dict(
        preset=None,
        stem_channels=8,
        stages=[dict(channels=12, num_blocks=2), dict(channels=20, num_blocks=2), dict(channels=40, num_blocks=3),
                dict(channels=80, num_blocks=2)],
        backbone=dict(init_cfg=None)),
    estimator=dict(num_workers=0))
