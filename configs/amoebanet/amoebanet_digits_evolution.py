# AmoebaNet's search on the built-in digits: a population of 20, 100 networks.
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(backbone=dict(genotype='amoebanet_a_cifar'))
search = dict(
    space=dict(type='AmoebaNetSpace'),
    searcher=dict(type='EvolutionSearcher', population=20, sample=5, identity=0.05, redraws=['op']),
    budget=dict(trials=100),
    reuse=False)
