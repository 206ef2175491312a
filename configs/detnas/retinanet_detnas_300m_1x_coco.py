# Step 4: the final RetinaNet, 12 epochs on COCO, on the backbone that detnas_retinanet_300m_imagenet.py has trained.
# Put the value of your own best/genotype.json in place of the zoo's name, there and here.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
# Single networks average their statistics over more iterations than the supernet does.
norm_cfg = dict(type='BN', momentum=0.01, requires_grad=True)
sync_bn = 'torch'       # where training is distributed, all batch norm is SyncBN; else it stays BN
model = dict(
    data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='DetNASNet',
        genotype='detnas_coco_retinanet_300m',
        norm_cfg=norm_cfg,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/detnas_retinanet_300m_imagenet/epoch_240.pth',
            prefix='backbone.')),
    neck=dict(in_channels=[64, 160, 320, 640], add_extra_convs='on_output'))
