# The paper's search on the built-in data with few pictures, as the tests run it.
_base_ = ['../retinanet_r10_coco_training_ppo.py']
size = (128, 128)
model = dict(data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=size)]))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=size, ratio_range=(0.8, 1.2), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size),
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
# In a handful of iterations the paper's rate would only drive every score to zero.
optim_wrapper = dict(optimizer=dict(lr=0.001))
search = dict(
    data=dict(_delete_=True, type='digits', train=24, val=8, test=8, size=128, seed=0),
    estimator=dict(num_workers=0))
