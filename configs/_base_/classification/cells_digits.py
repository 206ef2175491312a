# What the searches of cells share on the built-in digits: 8 px as they are, one cell a stage, short trainings.
_base_ = ['digits.py', 'runtime.py']
crop = [dict(type='RandomCrop', size=8, padding=1)]
train_dataloader = dict(num_workers=0, dataset=dict(size=8, transforms=crop))
val_dataloader = dict(num_workers=0, batch_size=297, dataset=dict(size=8))
test_dataloader = dict(num_workers=0, batch_size=300, dataset=dict(size=8))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))
custom_hooks = [dict(type='ReseedHook')]        # no averages (EMA): a training takes fewer than 100 steps
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CellNetwork', num_cells=(1, 1, 1), width=8, stem='cifar', num_classes=10),
    data_preprocessor=_base_.data_preprocessor)
search = dict(
    data=dict(type='HandwrittenDigits', size=8, val_size=297, test_size=300, seed=0),
    estimator=dict(type='TrainingEstimator', epochs=3),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 8, 8)), dict(type='Params', scope='backbone')],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    seed=0)
