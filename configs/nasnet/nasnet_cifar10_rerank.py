# The paper's second look: the 250 best networks of the search are trained until they converge, and the best is kept.
# nasdet export work_dirs/nasnet_cifar10 --top-k 250
_base_ = ['nasnet_cifar10_ppo.py']
train_cfg = dict(max_epochs=600)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=600, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
search = dict(
    searcher=dict(_delete_=True, type='ListSearcher', file='work_dirs/nasnet_cifar10/export/best-250.jsonl'),
    estimator=dict(epochs=600),
    engine=dict(timeout=7 * 24 * 3600),
    budget=dict(trials=250))
