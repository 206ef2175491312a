# The final training of ENAS's micro cells: 18 + 2 cells, F = 36 (the authors' script has 15), 630 epochs, no Cutout.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
augmentation = [dict(type='RandomCrop', size=32, padding=4), dict(type='RandomHorizontalFlip')]
train_dataloader = dict(batch_size=144, dataset=dict(transforms=augmentation))
train_cfg = dict(max_epochs=630)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=4e-4, nesterov=True),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='CosineRestartLR', periods=[10, 20, 40, 80, 160, 320], restart_weights=[1, 1, 1, 1, 1, 1],
         eta_min=0.0001, by_epoch=True, convert_to_iter_based=True),
]
model = dict(
    backbone=dict(
        genotype='enas_micro_cifar',
        num_cells=(6, 6, 6),
        width=36,
        dropout=0.2,
        fc_bias=False,
        drop_path=0.4,
        auxiliary_head=dict(kernel=2, cell=14, bias=False)))
