# MorphNet on COCO: the widths of RetinaNet R-50 at half its multiply-adds. Not run here.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['nasdet.models'], allow_failed_imports=False)
# What is frozen cannot shrink; neck and head get batch norms, whose gammas say what matters.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(norm_cfg=norm_cfg))
train_dataloader = dict(batch_size=16)
search = dict(
    data=dict(type='config', val=5000),
    space=dict(
        type='WidthSpace',
        model=dict(_base_.model, backbone=dict(_base_.model.backbone, frozen_stages=-1, norm_eval=False),
                   neck=dict(_base_.model.neck, norm_cfg=norm_cfg),
                   bbox_head=dict(_base_.model.bbox_head, norm_cfg=norm_cfg)),
        input_shape=(3, 800, 1344),
        divisor=8),
    trainer=dict(
        type='MorphNetTrainer',
        epochs=6,
        goal=0.4,
        budget=0.5,
        patience=0,     # what would die beyond the goal is bought back by the expansion
        # A tenth of the rate that the detector is trained with: the weights are pretrained.
        optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=1e-4),
        num_workers=8),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='model', input_shape=(3, 800, 1344)), dict(type='Params', scope='model')],
    control=dict(
        # What is found is trained alone; so is the detector with all widths multiplied by one factor, for the epochs of
        # the search besides.
        single=True,
        searcher=dict(type='UniformWidthSearcher', budget=0.5),
        estimator=dict(type='TrainingEstimator', epochs=12, num_workers=8)),
    seed=0)
