# The template on the built-in data with few pictures, without the weights of step 1, as the tests run it.
_base_ = ['../retinanet_own_data_evolution.py']
search = dict(
    data=dict(_delete_=True, type='digits', train=24, val=8, test=8, size=128, seed=0),
    space=dict(backbone=dict(init_cfg=None)))
