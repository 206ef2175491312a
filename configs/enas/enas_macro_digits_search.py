# ENAS's macro search on the built-in digits: 6 layers, F = 16, 50 epochs, 50 rewards after each.
_base_ = ['../_base_/classification/cells_digits.py']
train_cfg = dict(max_epochs=50)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=50, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
optim_wrapper = dict(clip_grad=dict(max_norm=5))
model = dict(
    backbone=dict(
        _delete_=True,
        type='ENASMacroNet',
        genotype=dict(layers=[dict(op='conv3', skips=[])] * 6),
        width=16,
        num_classes=10))
search = dict(
    _delete_=True,
    data=dict(type='HandwrittenDigits', size=8, val_size=297, test_size=300, seed=0),
    space=dict(type='ENASMacroSpace', num_layers=6),
    trainer=dict(
        type='ENASTrainer',
        controller_steps=10,
        samples=5,
        # Fewer rewards than the authors': larger steps, and a baseline of shorter memory.
        controller=dict(
            attention='macro', lr=0.0035, tanh=dict(op=1.5, skip=1.5), baseline=0.95, prior=dict(skip=0.4),
            prior_weight=0.8 / 5),
        candidates=100),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 8, 8)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=3)),
    seed=0)
