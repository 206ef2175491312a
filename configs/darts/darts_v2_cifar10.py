# The final training of the cells of second order: 18 + 2 cells, C = 36.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
train_dataloader = dict(batch_size=96)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=5))
custom_hooks = [dict(type='DropPathScheduleHook', by_epoch=True), dict(type='ReseedHook')]
model = dict(
    backbone=dict(
        genotype='darts_v2_cifar',
        num_cells=(6, 6, 6),
        width=36,
        final_relu=False,
        drop_path=0.2,
        drop_path_by_depth=False,
        auxiliary_head=dict(kernel=2, cell=13)))
