# The paper's second look: the 20 best networks of the search, larger (N = 6, F = 32), are trained for 600 epochs.
# nasdet export work_dirs/amoebanet_cifar10 --top-k 20
_base_ = ['amoebanet_cifar10_evolution.py']
train_cfg = dict(max_epochs=600)
optim_wrapper = dict(optimizer=dict(lr=0.024))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=600, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
custom_hooks = [dict(type='DropPathScheduleHook'), dict(type='ReseedHook')]
model = dict(
    backbone=dict(
        num_cells=(6, 6, 6),
        width=32,
        drop_path=0.3,
        drop_path_by_depth=False,
        auxiliary=True,
        auxiliary_head=dict(kernel=4)),
    auxiliary_weight=0.5)
search = dict(
    searcher=dict(_delete_=True, type='ListSearcher', file='work_dirs/amoebanet_cifar10/export/best-20.jsonl'),
    estimator=dict(epochs=600),
    engine=dict(timeout=7 * 24 * 3600),
    budget=dict(trials=20))
