# Steps 2 and 3 on COCO with Faster R-CNN FPN, whose box head is four convolutions and a linear layer. Not run.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/schedules/detnas_coco.py',
    '../_base_/searches/detnas_300m.py',
]
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
model = dict(
    neck=dict(norm_cfg=_base_.norm_cfg),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=_base_.norm_cfg)))
train_dataloader = dict(batch_size=16, num_workers=8)
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16)
