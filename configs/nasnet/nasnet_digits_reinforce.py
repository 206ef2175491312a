# The same by REINFORCE: one gradient step a batch.
_base_ = ['nasnet_digits_ppo.py']
search = dict(searcher=dict(_delete_=True, type='ReinforceSearcher', update='reinforce', batch=5))
