# The paper's selection: the genotypes of four searches, each trained for 100 epochs with 18 + 2 cells, C = 36.
# cat work_dirs/darts_cifar10_[0-3]/best/genotype.json > work_dirs/darts_cifar10_found.jsonl
_base_ = ['../_base_/classification/cells_cifar10.py']
augmentation = [
    dict(type='RandomCrop', size=32, padding=4),
    dict(type='RandomHorizontalFlip'),
    dict(type='Cutout', size=16, fill=(125, 123, 114)),
]
train_dataloader = dict(batch_size=96, dataset=dict(transforms=augmentation))
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=5))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=100, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
custom_hooks = [dict(type='DropPathScheduleHook', by_epoch=True), dict(type='ReseedHook')]
model = dict(
    backbone=dict(
        genotype='darts_v2_cifar',
        num_cells=(6, 6, 6),
        width=36,
        final_relu=False,
        drop_path=0.2,
        drop_path_by_depth=False,
        auxiliary=True,
        auxiliary_head=dict(kernel=2, cell=13)),
    auxiliary_weight=0.4)
search = dict(
    space=dict(type='DARTSSpace'),
    searcher=dict(type='ListSearcher', file='work_dirs/darts_cifar10_found.jsonl'),
    estimator=dict(epochs=100),
    engine=dict(timeout=7 * 24 * 3600),
    budget=dict(trials=4))
