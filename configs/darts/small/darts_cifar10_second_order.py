# The same search on the built-in digits with a small network, as the tests run it.
_base_ = ['../darts_cifar10_second_order.py']
half = dict(dataset=dict(val_size=297))
train_dataloader = half
val_dataloader = half
test_dataloader = half
model = dict(backbone=dict(num_cells=(1, 1, 1), width=2))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    trainer=dict(num_workers=0),
    control=dict(estimator=dict(num_workers=0)))
