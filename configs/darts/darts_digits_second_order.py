# DARTS's search of second order on the built-in digits: 3 + 2 cells of 3 blocks, C = 8, 15 epochs.
_base_ = ['../_base_/classification/cells_digits.py']
optim_wrapper = dict(clip_grad=dict(max_norm=5))
model = dict(backbone=dict(genotype='darts_v2_cifar', final_relu=False))
search = dict(
    _delete_=True,
    data=dict(type='HandwrittenDigits', size=8, val_size=297, test_size=300, seed=0),
    space=dict(type='DARTSSpace', num_blocks=3),
    # 270 architecture steps for the paper's 19,500: longer ones.
    trainer=dict(type='DARTSTrainer', order=2, epochs=15, architecture=dict(lr=0.01)),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 8, 8)), dict(type='Params', scope='backbone')],
    control=dict(estimator=dict(type='TrainingEstimator', epochs=3)),
    seed=0)
