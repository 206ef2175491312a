# A second look at the 10 best networks of amoebanet_digits_evolution.py, with 20 epochs each.
# nasdet export work_dirs/amoebanet --top-k 10
_base_ = ['amoebanet_digits_evolution.py']
search = dict(
    searcher=dict(_delete_=True, type='ListSearcher', file='work_dirs/amoebanet/export/best-10.jsonl'),
    estimator=dict(epochs=20),
    budget=dict(trials=10))
