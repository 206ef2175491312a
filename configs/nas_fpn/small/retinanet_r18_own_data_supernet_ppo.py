# The template on the built-in data with few pictures, as the tests run it.
_base_ = ['../retinanet_r18_own_data_supernet_ppo.py']
search = dict(data=dict(_delete_=True, type='digits', train=24, val=8, test=8, size=128, seed=0))
