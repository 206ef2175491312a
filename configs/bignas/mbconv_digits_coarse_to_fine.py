# BigNAS in small on the built-in digits: one training of a space of 699,840 children, then a front of them.
_base_ = ['../_base_/classification/digits.py', '../_base_/classification/runtime.py']
stages = [
    dict(channels=(8, 12, 16), depth=(1, 2), kernel=(3, 5), expansion=(1,), stride=1, se=True),
    dict(channels=(12, 16, 24), depth=(1, 2, 3), kernel=(3, 5), expansion=(2, 3, 4), stride=2, se=True),
    dict(channels=(24, 32, 40), depth=(1, 2, 3), kernel=(3, 5), expansion=(2, 3, 4), stride=2, se=True),
]
train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
train_cfg = dict(max_epochs=60)
# One norm clips the sum of four gradients. With a rate of 0.05 the smaller children are far from done after 60 epochs.
optim_wrapper = dict(optimizer=dict(lr=0.15, weight_decay=1e-5), clip_grad=dict(max_norm=4.0))
# The rate falls to 5 % of its start in 40 epochs and stays there.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=20, by_epoch=False),
    dict(type='ExponentialLR', gamma=0.05 ** (1 / 40), begin=0, end=40, by_epoch=True),
]
custom_hooks = [dict(type='ReseedHook')]        # no averages (EMA): the statistics of a child are measured for it
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='MBConvNet',
        genotype=dict(
            semantics='efficientnet',
            resolution=32,
            stem_channels=8,
            stages=[
                dict(channels=16, depth=2, kernel=3, expansion=1, stride=1, se=True),
                dict(channels=24, depth=2, kernel=3, expansion=3, stride=2, se=True),
                dict(channels=40, depth=2, kernel=3, expansion=3, stride=2, se=True),
            ],
            head_channels=96),
        head=True,
        num_classes=10,
        dropout=0.1),
    label_smoothing=0.1,
    data_preprocessor=_base_.data_preprocessor)
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=597, test_size=300, seed=0),
    space=dict(
        type='ElasticSpace',
        stages=stages,
        stem_channels=(8, 12),
        head_channels=(64, 96),
        resolution=(8, 12, 16, 24, 32),
        backbone=dict(head=True, dropout=0.1)),
    searcher=dict(
        type='CoarseToFineSearcher', mutations=96, rate=0.15,
        budgets={'Macs(backbone)': [0.015e6, 0.02e6, 0.03e6, 0.045e6, 0.07e6, 0.1e6, 0.2e6, 0.5e6]}),
    estimator=dict(type='SupernetEstimator', sandwich=dict(random_children=2), recalibration_images=400),
    objective='accuracy/top1',
    costs=[
        dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)),
        dict(type='Params', scope='backbone'),
    ],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=400),
    seed=0)
