# The same for faster_rcnn_300m_coco_evolution.py.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/schedules/detnas_coco.py',
    '../_base_/spaces/detnas_300m.py',
]
custom_imports = dict(imports=['nasdet.models', 'nasdet.training'], allow_failed_imports=False)
norm_cfg = dict(type='BN', requires_grad=True)
sync_bn = 'torch'
find_unused_parameters = True
model = dict(
    data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        **_base_.supernet,
        norm_cfg=norm_cfg,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/supernet_300m_imagenet_pretrain/epoch_240.pth',
            prefix='backbone.')),
    neck=dict(in_channels=[64, 160, 320, 640], norm_cfg=norm_cfg),
    roi_head=dict(bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg)))
train_dataloader = dict(
    dataset=dict(
        data_root='',
        ann_file='work_dirs/faster_rcnn_300m_coco_evolution/data/train.json',
        data_prefix=dict(img='data/coco/train2017/')))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
custom_hooks = [
    dict(type='PathSamplingHook', space=dict(type='ChoiceBlockSpace', preset='300m')),
    dict(type='ReseedHook'),
]
randomness = dict(seed=0)
