# The paper's final training: RetinaNet R-50 at 640 px with 7 stacks of 256 channels, 50 epochs, batch 64 (8 GPUs of 8).
# Put the value of your own best/genotype.json in place of the zoo's name.
_base_ = ['mmdet::nas_fpn/retinanet_r50_fpn_crop640-50e_coco.py']
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    neck=dict(
        _delete_=True,
        type='MergingCellFPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        start_level=1,
        stack_times=7,
        norm_cfg=dict(type='BN', requires_grad=True),
        genotype='nas_fpn'),
    bbox_head=dict(loss_cls=dict(gamma=1.5)))
