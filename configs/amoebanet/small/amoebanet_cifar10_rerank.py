# The same on the built-in digits with a small network and a list that is there, as the tests run it.
_base_ = ['../amoebanet_cifar10_rerank.py']
model = dict(backbone=dict(num_cells=(1, 1, 1), width=4))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    searcher=dict(file='configs/amoebanet/small/found.jsonl'),
    estimator=dict(num_workers=0))
