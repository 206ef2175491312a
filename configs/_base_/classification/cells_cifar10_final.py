# The final training of a network of cells on CIFAR-10, as published for NASNet: 600 epochs on all training images, an
# auxiliary head of weight 0.4, drop-path that grows with time, Cutout.
_base_ = ['cifar10.py', 'runtime.py']
augmentation = [
    dict(type='RandomCrop', size=32, padding=4),
    dict(type='RandomHorizontalFlip'),
    dict(type='Cutout', size=16, fill=(125, 123, 114)),
]
train_dataloader = dict(batch_size=32, dataset=dict(split='trainval', transforms=augmentation))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = dict(dataset=dict(transforms=[]))
train_cfg = dict(max_epochs=600)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=5))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=600, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
custom_hooks = [dict(type='DropPathScheduleHook'), dict(type='ReseedHook')]     # no averages (EMA)
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='CellNetwork',
        stem='cifar',
        num_classes=10,
        auxiliary=True,
        auxiliary_head=dict(kernel=4)),
    auxiliary_weight=0.4,
    data_preprocessor=_base_.data_preprocessor)
