# The same on the built-in digits with a small network and a list that is there, as the tests run it.
_base_ = ['../enas_micro_cifar10_rerank.py']
model = dict(backbone=dict(num_cells=(1, 1, 1), width=4))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    space=dict(num_blocks=3),
    searcher=dict(file='configs/enas/small/found_micro.jsonl'),
    estimator=dict(num_workers=0))
