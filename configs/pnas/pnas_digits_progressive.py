# PNAS's search on the built-in digits with four operations: 36 cells of one block, then 16 of each of 2 to 5 blocks.
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(backbone=dict(genotype='pnasnet_5_cifar'))
search = dict(
    space=dict(type='PNASSpace', ops=('sep3', 'sep5', 'id', 'max3')),
    searcher=dict(type='ProgressiveSearcher', beam=16, surrogate='mlp'),
    budget=dict(trials=100))
