# Steps 2 and 3 on built-in data: Faster R-CNN FPN on the small supernet of supernet_digits_pretrain.py, then evolution.
_base_ = [
    '../_base_/models/faster_rcnn_r18_small.py',
    '../_base_/spaces/choice_blocks_small.py',
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/adamw_cosine.py',
    '../_base_/searches/detnas_small.py',
]
# The paper's box head, four convolutions and a linear layer, narrow enough for a CPU.
model = dict(
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead', conv_out_channels=16, norm_cfg=dict(type='BN', requires_grad=True))))
# The last checkpoint of step 1; with init_cfg=None the supernet starts from scratch.
search = dict(
    space=dict(
        **_base_.space,
        backbone=dict(
            init_cfg=dict(
                type='Pretrained', checkpoint='work_dirs/supernet_digits_pretrain/epoch_70.pth', prefix='backbone.'))))
