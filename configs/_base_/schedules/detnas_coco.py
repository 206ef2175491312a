# DetNAS's detection trainings: 90,000 iterations of 16 images, a tenth of the rate after 60,000 and 80,000. A search
# counts epochs: without search-val's 5,000 images, and those without objects, one of COCO has about 7,020 iterations.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=13, val_interval=13)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=91000, milestones=[60000, 80000], gamma=0.1),
]
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001))
auto_scale_lr = dict(enable=False, base_batch_size=16)
