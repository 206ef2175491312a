# ENAS's micro search on the built-in digits: 3 + 2 cells of 3 blocks, 50 epochs, 50 rewards after each.
_base_ = ['../_base_/classification/cells_digits.py']
train_cfg = dict(max_epochs=50)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=50, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
optim_wrapper = dict(clip_grad=dict(max_norm=5))
model = dict(backbone=dict(genotype='enas_micro_cifar'))
search = dict(
    _delete_=True,
    data=dict(type='HandwrittenDigits', size=8, val_size=297, test_size=300, seed=0),
    space=dict(type='ENASMicroSpace', num_blocks=3),
    trainer=dict(
        type='ENASTrainer',
        controller_steps=10,
        samples=5,
        # Fewer rewards than the authors': a baseline of shorter memory.
        controller=dict(attention='micro', tanh=dict(state=1.1, op=1.1 / 2.5), baseline=0.95),
        candidates=100),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 8, 8)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=3)),
    seed=0)
