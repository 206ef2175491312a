# What every classification training shares: SGD with Nesterov momentum, a cosine schedule, averaged weights (EMA).
default_scope = 'mmdet'
custom_imports = dict(imports=['nasdet.models', 'nasdet.datasets', 'nasdet.training'], allow_failed_imports=False)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    paramwise_cfg=dict(norm_decay_mult=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=20, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]

# The checkpoint's state_dict holds the averaged weights. ExpMomentumEMA averages over few steps at first, and so
# serves short trainings too.
# ReseedHook makes a resumed training the same, to the bit, as one that was never stopped.
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.001, gamma=100, update_buffers=True),
    dict(type='ReseedHook'),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')))
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=64)
