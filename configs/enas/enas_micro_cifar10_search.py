# ENAS's micro search, as the authors' script: 6 + 2 cells, F = 20, 150 epochs, 300 rewards after each.
_base_ = ['../_base_/classification/cells_cifar10.py']
train_dataloader = dict(batch_size=160)
train_cfg = dict(max_epochs=150)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    # The authors' L2 term of 1e-4 is not halved, and takes in batch norm's scales and offsets.
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=2e-4, nesterov=True),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='CosineRestartLR', periods=[10, 20, 40, 80], restart_weights=[1, 1, 1, 1], eta_min=0.0005, by_epoch=True,
         convert_to_iter_based=True),
]
model = dict(
    backbone=dict(
        genotype='enas_micro_cifar',
        num_cells=(2, 2, 2),
        width=20,
        dropout=0.1,
        fc_bias=False,
        auxiliary=True,
        auxiliary_head=dict(kernel=2, cell=6, bias=False)),
    auxiliary_weight=0.4)
search = dict(
    _delete_=True,
    space=dict(type='ENASMicroSpace'),
    trainer=dict(
        type='ENASTrainer',
        controller_steps=30,
        samples=10,
        # The authors' begins with a bias towards separable convolutions: bias=dict(op=dict(sep3=10, sep5=10)).
        controller=dict(
            attention='micro', hidden=64, lr=0.0035, tanh=dict(state=1.1, op=1.1 / 2.5), entropy=1e-4, baseline=0.99),
        candidates=100,
        num_workers=2),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=20, num_workers=2)),
    seed=0)
