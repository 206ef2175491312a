# Steps 2 and 3 on COCO with RetinaNet: the paper's schedule, then its evolution. Not run. As in the authors' code,
# neck and head have no batch norm.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/schedules/detnas_coco.py',
    '../_base_/searches/detnas_300m.py',
]
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
model = dict(neck=dict(add_extra_convs='on_output'))
train_dataloader = dict(batch_size=16, num_workers=8)
val_dataloader = dict(batch_size=16)
test_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=0.01))
