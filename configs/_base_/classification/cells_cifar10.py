# What the searches of cells share on CIFAR-10: 32 px, every network trained for a few epochs, 5,000 images held out.
_base_ = ['cifar10.py', 'runtime.py']
augmentation = [dict(type='RandomCrop', size=32, padding=4), dict(type='RandomHorizontalFlip')]
train_dataloader = dict(dataset=dict(transforms=augmentation))
val_dataloader = dict(dataset=dict(transforms=[]))
test_dataloader = dict(dataset=dict(transforms=[]))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=5))
custom_hooks = [dict(type='ReseedHook')]        # no averages (EMA)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CellNetwork', num_cells=(2, 2, 2), width=24, stem='cifar', num_classes=10),
    data_preprocessor=_base_.data_preprocessor)
search = dict(
    estimator=dict(type='TrainingEstimator', epochs=20, num_workers=2),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)), dict(type='Params', scope='backbone')],
    engine=dict(type='LocalEngine', slots=1, timeout=12 * 3600),
    seed=0)
