# DARTS's search of second order, as the authors' code: 6 + 2 cells, C = 16, 50 epochs on half of the training images;
# the other half trains the architecture.
_base_ = ['../_base_/classification/cells_cifar10.py']
half = dict(dataset=dict(val_size=25000))
train_dataloader = dict(batch_size=64, **half)
val_dataloader = half
test_dataloader = half
train_cfg = dict(max_epochs=50)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=3e-4),
    clip_grad=dict(max_norm=5))
# The paper's cosine ends at 0.
param_scheduler = [dict(type='CosineAnnealingLR', T_max=50, eta_min=0.001, by_epoch=True, convert_to_iter_based=True)]
model = dict(backbone=dict(genotype='darts_v2_cifar', num_cells=(2, 2, 2), width=16, final_relu=False))
search = dict(
    _delete_=True,
    space=dict(type='DARTSSpace'),
    trainer=dict(
        type='DARTSTrainer',
        order=2,
        architecture=dict(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        num_workers=2),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=20, num_workers=2)),
    seed=0)
