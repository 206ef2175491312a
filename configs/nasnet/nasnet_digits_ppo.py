# NASNet's search on the built-in digits: 100 networks.
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(backbone=dict(genotype='nasnet_a_6_768_cifar'))
search = dict(
    space=dict(type='NASNetSpace'),
    searcher=dict(type='ReinforceSearcher', update='ppo', batch=10, minibatch=10),
    budget=dict(trials=100))
