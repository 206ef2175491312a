# Step 1 on built-in data: the small supernet learns to classify handwritten digits, one path an iteration.
_base_ = [
    '../_base_/spaces/choice_blocks_small.py',
    '../_base_/classification/digits.py',
    '../_base_/classification/detnas_runtime.py',
]
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='DetNASSupernet',
        stages=_base_.space.stages,
        stem_channels=_base_.space.stem_channels,
        head_channels=_base_.space.head_channels,
        head=True,
        num_classes=10,
        dropout=0.0),
    label_smoothing=0.1,
    data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], rgb_to_bgr=True))
train_dataloader = dict(
    dataset=dict(
        size=48,
        transforms=[
            dict(type='RandomCrop', size=48, padding=6),
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
        ]))
# A supernet is no single network, so there is nothing to validate: look at the loss.
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None

# The paper's rate for batches of 64. A supernet needs many iterations before it learns anything: 1,260 here.
train_cfg = dict(max_epochs=70)
optim_wrapper = dict(optimizer=dict(lr=0.03))
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=0.0, begin=0, end=70, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=18))
# No averages (EMA): each iteration trains another path. The path follows from the seed and the iteration.
custom_hooks = [dict(type='PathSamplingHook', space=_base_.space), dict(type='ReseedHook')]
