# The same in the 1.3G space of 40 blocks. There 99.99 % of random paths have less than 1.3 G multiply-adds, so the
# limit is the share that 300 M leaves of the smaller space.
_base_ = ['retinanet_300m_coco_evolution.py']
search = dict(
    space=dict(
        preset='1.3g',
        backbone=dict(init_cfg=dict(checkpoint='work_dirs/supernet_1300m_imagenet_pretrain/epoch_240.pth'))),
    costs=[
        dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 224, 224), limit=dict(quantile=0.69)),
        dict(type='Params', scope='backbone'),
    ])
