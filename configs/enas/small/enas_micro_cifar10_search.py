# The same search on the built-in digits with a small network and few rewards, as the tests run it.
_base_ = ['../enas_micro_cifar10_search.py']
model = dict(backbone=dict(num_cells=(1, 1, 1), width=4, auxiliary_head=dict(cell=4)))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    trainer=dict(controller_steps=2, samples=2, candidates=3, num_workers=0),
    control=dict(estimator=dict(num_workers=0)))
