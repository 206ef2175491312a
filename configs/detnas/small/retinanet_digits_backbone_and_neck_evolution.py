# The same without the weights of step 1, as the tests run it.
_base_ = ['../retinanet_digits_backbone_and_neck_evolution.py']
search = dict(space=dict(spaces=dict(backbone=dict(backbone=dict(init_cfg=None)))))
