# A second look at the 10 best networks of nasnet_digits_ppo.py, with 20 epochs each.
# nasdet export work_dirs/nasnet --top-k 10
_base_ = ['nasnet_digits_ppo.py']
search = dict(
    searcher=dict(_delete_=True, type='ListSearcher', file='work_dirs/nasnet/export/best-10.jsonl'),
    estimator=dict(epochs=20),
    budget=dict(trials=10))
