# Step 4 for the 1.3G space.
_base_ = ['faster_rcnn_detnas_300m_1x_coco.py']
model = dict(
    backbone=dict(
        genotype='detnas_coco_fpn_1.3g',
        init_cfg=dict(checkpoint='work_dirs/detnas_1300m_imagenet/epoch_240.pth')),
    neck=dict(in_channels=[96, 240, 480, 960]))
