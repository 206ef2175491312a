# The same without the weights of step 1, as the tests run it.
_base_ = ['../retinanet_digits_reinforce.py']
search = dict(space=dict(backbone=dict(init_cfg=None)))
