# PNAS's search: 136 cells of one block, then 256 of each of 2 to 5 blocks; N = 2, F = 24, 20 epochs each.
_base_ = ['../_base_/classification/cells_cifar10.py']
model = dict(backbone=dict(genotype='pnasnet_5_cifar', num_cells=(2, 1, 1)))     # PNAS counts reduction cells in N
optim_wrapper = dict(optimizer=dict(lr=0.01))
search = dict(
    space=dict(type='PNASSpace'),
    searcher=dict(type='ProgressiveSearcher', beam=256, surrogate='mlp'),
    budget=dict(trials=1160))
