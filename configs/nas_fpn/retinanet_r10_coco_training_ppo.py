# The paper's search: RetinaNet R-10 at 512 px, 10 epochs a candidate, 7,392 images held out of COCO train2017, PPO.
# A candidate takes about an hour of an accelerator; give engine.slots one slot a GPU.
_base_ = ['mmdet::nas_fpn/retinanet_r50_fpn_crop640-50e_coco.py']
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
size = (512, 512)
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128, batch_augments=[dict(type='BatchFixedSizePad', size=size)]),
    backbone=dict(
        _delete_=True,
        type='ResNet10',
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch'),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(loss_cls=dict(gamma=1.5)))
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
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=10, by_epoch=True, milestones=[8], gamma=0.1),
]
search = dict(
    data=dict(type='config', val=7392),
    space=dict(
        type='MergingCellSpace', num_cells=7, neck=dict(out_channels=256, stack_times=3, norm_cfg=norm_cfg)),
    searcher=dict(type='ReinforceSearcher', update='ppo', lr=3.5e-4, entropy=1e-5, minibatch=20),
    estimator=dict(type='TrainingEstimator', amp=True, num_workers=8),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='neck', input_shape=(3, 512, 512)), dict(type='Params', scope='neck')],
    engine=dict(type='LocalEngine', slots=1, timeout=6 * 3600),
    budget=dict(trials=8000),
    seed=0)
