# BigNAS's training of a supernet: SGD with Nesterov momentum for 360 epochs; the rate falls by 3 % every 2.4 epochs and
# stays at 5 % of its start from epoch 236 on, so that the small children still learn when the largest has peaked.
# Batch, rate, decay and clipping as in the re-implementation github.com/MAC-AutoML/XNAS (48 images on each of 4 GPUs).
default_scope = 'mmdet'
custom_imports = dict(imports=['nasdet.models', 'nasdet.datasets', 'nasdet.training'], allow_failed_imports=False)

train_cfg = dict(max_epochs=360, val_interval=360)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.256, momentum=0.9, nesterov=True, weight_decay=1e-5),
    paramwise_cfg=dict(flat_decay_mult=0.0),        # neither norms nor biases decay
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=5, by_epoch=True, convert_to_iter_based=True),
    dict(type='ExponentialLR', gamma=0.97 ** (1 / 2.4), begin=0, end=236, by_epoch=True),
]
# ReseedHook makes a resumed training the same, to the bit, as one that was never stopped.
custom_hooks = [dict(type='ReseedHook')]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=100),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')))
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=192)
