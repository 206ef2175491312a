# The same search at random.
_base_ = ['retinanet_digits_evolution.py']
search = dict(searcher=dict(_delete_=True, type='RandomSearcher'))
