# NASNet's search: 20,000 networks of N = 2, F = 24 for 20 epochs each, proposed by a controller that PPO trains.
_base_ = ['../_base_/classification/cells_cifar10.py']
model = dict(backbone=dict(genotype='nasnet_a_6_768_cifar'))
search = dict(
    space=dict(type='NASNetSpace'),
    searcher=dict(type='ReinforceSearcher', update='ppo', lr=3.5e-4, entropy=1e-5, minibatch=20),
    budget=dict(trials=20000))
