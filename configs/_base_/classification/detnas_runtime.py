# DetNAS's ImageNet training, of supernets and of what was found: 300,000 iterations of 1,024 images, which are 240
# epochs of 1,251; SGD, 0.5 linearly to 0, weight decay on convolutions and linear layers only.
default_scope = 'mmdet'
custom_imports = dict(imports=['nasdet.models', 'nasdet.datasets', 'nasdet.training'], allow_failed_imports=False)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=240, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(flat_decay_mult=0.0))        # neither norms nor biases decay
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=0.0, begin=0, end=240, by_epoch=True,
         convert_to_iter_based=True),
]
# ReseedHook makes a resumed training the same, to the bit, as one that was never stopped.
custom_hooks = [dict(type='ReseedHook')]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=100),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')))
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=1024)
