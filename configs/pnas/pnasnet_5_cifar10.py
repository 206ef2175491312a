# The final training of PNASNet-5: N = 3, F = 48.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
model = dict(backbone=dict(genotype='pnasnet_5_cifar', num_cells=(3, 2, 2), width=48, drop_path=0.4))
