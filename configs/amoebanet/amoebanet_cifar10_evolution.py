# AmoebaNet's search: 20,000 networks of N = 3, F = 24 for 25 epochs each, bred by ageing evolution. Every child is
# trained, also one that equals its parent, and enters the population when it is done.
_base_ = ['../_base_/classification/cells_cifar10.py']
model = dict(backbone=dict(genotype='amoebanet_a_cifar', num_cells=(3, 3, 3)))
search = dict(
    space=dict(type='AmoebaNetSpace'),
    searcher=dict(type='EvolutionSearcher', population=100, sample=25, identity=0.05, redraws=['op']),
    estimator=dict(epochs=25),
    budget=dict(trials=20000),
    order='arrival',
    reuse=False)
