# A template: your own COCO-format data. Change the three marked lines; classes, splits and heads follow from the data.
_base_ = ['retinanet_r10_digits_supernet_ppo.py']
scale = (320, 256)                                              # 1. size that your pictures are brought to
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
search = dict(
    data=dict(
        _delete_=True,
        type='coco',
        ann_file='data/mine/annotations.json',                  # 2. annotations, and test_ann_file where you have one
        image_dir='data/mine/images'),                          # 3. pictures
    costs=[dict(type='Macs', scope='neck', input_shape=(3, 256, 384)), dict(type='Params', scope='neck')])
