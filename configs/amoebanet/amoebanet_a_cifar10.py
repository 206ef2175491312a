# The final training of AmoebaNet-A: N = 6, F = 32.
_base_ = ['../_base_/classification/cells_cifar10_final.py']
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=0.024))
model = dict(
    backbone=dict(
        genotype='amoebanet_a_cifar_f32', num_cells=(6, 6, 6), width=32, drop_path=0.3, drop_path_by_depth=False),
    auxiliary_weight=0.5)
