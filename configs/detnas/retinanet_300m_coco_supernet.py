# Step 2 alone, on 8 GPUs of 2 images, with SyncBN: the supernet of retinanet_300m_coco_evolution.py, trained on what
# that search has set apart for training. The README says how the search then takes it.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/schedules/detnas_coco.py',
    '../_base_/spaces/detnas_300m.py',
]
custom_imports = dict(imports=['nasdet.models', 'nasdet.training'], allow_failed_imports=False)
norm_cfg = dict(type='BN', requires_grad=True)
sync_bn = 'torch'                   # where training is distributed, all batch norm is SyncBN; else it stays BN
find_unused_parameters = True       # what the iteration's path does not use gets no gradient
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
    neck=dict(in_channels=[64, 160, 320, 640], add_extra_convs='on_output'))
train_dataloader = dict(
    dataset=dict(
        data_root='',
        ann_file='work_dirs/retinanet_300m_coco_evolution/data/train.json',
        data_prefix=dict(img='data/coco/train2017/')))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
optim_wrapper = dict(optimizer=dict(lr=0.01))
custom_hooks = [
    dict(type='PathSamplingHook', space=dict(type='ChoiceBlockSpace', preset='300m')),
    dict(type='ReseedHook'),
]
randomness = dict(seed=0)
