# The same on the built-in digits with a small network and a list that is there, as the tests run it.
_base_ = ['../darts_cifar10_select.py']
model = dict(backbone=dict(num_cells=(1, 1, 1), width=4, auxiliary_head=dict(cell=3)))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    space=dict(num_blocks=3),
    searcher=dict(file='configs/darts/small/found.jsonl'),
    estimator=dict(num_workers=0))
