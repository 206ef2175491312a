# The template for Faster R-CNN FPN. Change the three marked lines; classes, splits and heads follow from the data.
_base_ = ['faster_rcnn_digits_evolution.py']
scale = (256, 192)                                              # 1. size that your pictures are brought to
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
# A small set needs more epochs than the built-in one: 500 iterations or more in all.
train_cfg = dict(max_epochs=40, val_interval=40)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=40, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
]
search = dict(
    data=dict(
        _delete_=True,
        type='coco',
        ann_file='data/mine/annotations.json',                  # 2. annotations, and test_ann_file where you have one
        image_dir='data/mine/images'),                          # 3. pictures
    estimator=dict(epochs=40),
    costs=[
        dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 256, 256), limit=dict(quantile=0.69)),
        dict(type='Params', scope='backbone'),
    ])
