# ENAS's macro search, as the authors' script: 12 layers, F = 36, 310 epochs, 1,000 rewards after each.
_base_ = ['../_base_/classification/cells_cifar10.py']
train_cfg = dict(max_epochs=310)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    # The authors' L2 term of 2.5e-4 is not halved, and takes in batch norm's scales and offsets.
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='CosineRestartLR', periods=[10, 20, 40, 80, 160], restart_weights=[1, 1, 1, 1, 1], eta_min=0.0005,
         by_epoch=True, convert_to_iter_based=True),
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='ENASMacroNet',
        genotype=dict(layers=[dict(op='conv3', skips=[])] * 12),
        width=36,
        num_classes=10,
        dropout=0.1))
search = dict(
    _delete_=True,
    space=dict(type='ENASMacroSpace', num_layers=12),
    trainer=dict(
        type='ENASTrainer',
        controller_steps=50,
        samples=20,
        controller=dict(
            attention='macro', hidden=64, lr=0.001, tanh=dict(op=1.5, skip=1.5), entropy=1e-4, baseline=0.99,
            # 0.8 times the mean over the 11 layers that can skip.
            prior=dict(skip=0.4), prior_weight=0.8 / 11),
        candidates=100,
        num_workers=2),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=20, num_workers=2)),
    seed=0)
