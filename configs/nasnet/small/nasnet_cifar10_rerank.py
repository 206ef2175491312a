# The same search on the built-in digits with a small network, as the tests run it.
_base_ = ['../nasnet_cifar10_rerank.py']
model = dict(backbone=dict(num_cells=(1, 1, 1), width=4))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    searcher=dict(file='configs/nasnet/small/best-3.jsonl'),
    estimator=dict(num_workers=0))
