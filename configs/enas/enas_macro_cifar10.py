# The final training of ENAS's macro network: 24 layers, F = 96, 310 epochs, no Cutout. The authors' code builds full
# convolutions in the place of separable ones (separable=False), which its published result is of.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
augmentation = [dict(type='RandomCrop', size=32, padding=4), dict(type='RandomHorizontalFlip')]
train_dataloader = dict(batch_size=100, dataset=dict(transforms=augmentation))
train_cfg = dict(max_epochs=310)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=4e-4, nesterov=True),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='CosineRestartLR', periods=[10, 20, 40, 80, 160], restart_weights=[1, 1, 1, 1, 1], eta_min=0.001,
         by_epoch=True, convert_to_iter_based=True),
]
custom_hooks = [dict(type='ReseedHook')]        # no drop-path
model = dict(
    backbone=dict(
        _delete_=True,
        type='ENASMacroNet',
        genotype='enas_macro_cifar',
        width=96,
        num_classes=10,
        separable=False,
        dropout=0.5))
