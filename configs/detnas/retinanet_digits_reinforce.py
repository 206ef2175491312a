# The same search by a controller that learns from the scores (PPO), as NAS-FPN's.
_base_ = ['retinanet_digits_evolution.py']
search = dict(searcher=dict(_delete_=True, type='ReinforceSearcher', update='ppo', batch=20))
