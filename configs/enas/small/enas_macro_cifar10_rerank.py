# The same on the built-in digits with fewer layers and a list that is there, as the tests run it.
_base_ = ['../enas_macro_cifar10_rerank.py']
model = dict(backbone=dict(genotype=dict(layers=[dict(op='conv3', skips=[])] * 4), width=4))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    space=dict(num_layers=4),
    searcher=dict(file='configs/enas/small/found_macro.jsonl'),
    estimator=dict(num_workers=0))
