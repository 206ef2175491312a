# COCO on one GPU of 24 GB: frozen ResNet-50, weight-shared cells, cached features, ageing evolution. Not run; the
# estimate of its two days is in this folder's README.md.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
size = (512, 512)
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128, batch_augments=[dict(type='BatchFixedSizePad', size=size)]),
    backbone=dict(frozen_stages=4),
    bbox_head=dict(norm_cfg=norm_cfg),
    # With the default of 1,000 boxes a level, non-maximum suppression would cost more than neck and head.
    test_cfg=dict(nms_pre=300))
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
train_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(clip_grad=dict(max_norm=10.0, norm_type=2))
search = dict(
    data=dict(type='config', val=5000),
    space=dict(
        type='MergingCellSpace', num_cells=7, neck=dict(out_channels=128, stack_times=3, norm_cfg=norm_cfg)),
    searcher=dict(type='EvolutionSearcher', population=50, sample=10),
    estimator=dict(
        type='SupernetEstimator', epochs=12, recalibration_images=200, cache_features=True, amp=True, num_workers=8),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='neck', input_shape=(3, 512, 512)), dict(type='Params', scope='neck')],
    engine=dict(type='LocalEngine', slots=1, timeout=3600),
    budget=dict(trials=500),
    seed=0)
