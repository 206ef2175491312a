# The final training of NASNet-A (6 @ 768): N = 6, F = 32.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
model = dict(backbone=dict(genotype='nasnet_a_6_768_cifar', num_cells=(6, 6, 6), width=32, drop_path=0.4))
