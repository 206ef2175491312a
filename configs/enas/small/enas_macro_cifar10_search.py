# The same search on the built-in digits with a small network and few rewards, as the tests run it.
_base_ = ['../enas_macro_cifar10_search.py']
model = dict(backbone=dict(genotype=dict(layers=[dict(op='conv3', skips=[])] * 4), width=4))
search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    space=dict(num_layers=4),
    trainer=dict(controller_steps=2, samples=2, candidates=3, num_workers=0),
    control=dict(estimator=dict(num_workers=0)))
