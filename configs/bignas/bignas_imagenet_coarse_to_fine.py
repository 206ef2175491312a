# Step 2: children for three budgets, taken from the supernet of step 1 without further training. Not run.
_base_ = ['../_base_/classification/imagenet.py', '../_base_/classification/bignas_runtime.py']
# The classifier as it is before the search; a child of the supernet takes its place.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MBConvNet', genotype='efficientnet_b0', head=True, num_classes=1000, dropout=0.2),
    label_smoothing=0.1,
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
train_cfg = dict(type='EpochBasedTrainLoop')
search = dict(
    data=dict(
        type='ImageFolder', root='data/imagenet/train', test_root='data/imagenet/val', val_size=10000, seed=0),
    space=dict(type='ElasticSpace', preset='bignas', backbone=dict(head=True, dropout=0.2, drop_path=0.2)),
    searcher=dict(
        type='CoarseToFineSearcher', mutations=600, rate=0.1, budgets={'Macs(backbone)': [250e6, 420e6, 600e6]}),
    estimator=dict(
        type='SupernetEstimator',
        checkpoint='work_dirs/bignas_imagenet_supernet/epoch_360.pth',
        recalibration_images=4096,
        batch_size=64,
        sandwich=dict(random_children=2),
        num_workers=8),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', limit=600e6), dict(type='Params', scope='backbone')],
    engine=dict(type='LocalEngine', slots=1, timeout=3600),
    budget=dict(trials=700),
    seed=0)
