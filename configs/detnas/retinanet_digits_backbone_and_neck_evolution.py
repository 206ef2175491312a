# Backbone and neck in one genotype: DetNAS's blocks and NAS-FPN's merging cells, in one supernet.
_base_ = ['retinanet_digits_evolution.py']
search = dict(
    space=dict(
        _delete_=True,
        type='ProductSpace',
        spaces=dict(
            backbone=_base_.search.space,
            neck=dict(
                type='MergingCellSpace',
                num_cells=7,
                neck=dict(out_channels=32, stack_times=1, norm_cfg=dict(type='BN'))))),
    costs=[
        dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 128, 128), limit=dict(quantile=0.69)),
        dict(type='Macs', scope='neck', input_shape=(3, 128, 128)),
        dict(type='Params', scope='model'),
    ])
