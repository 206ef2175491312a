# A second look at the 10 best candidates of enas_micro_cifar10_search.py: each trained from scratch, for 20 epochs.
# nasdet export work_dirs/enas_micro_cifar10 --top-k 10
_base_ = ['../_base_/classification/cells_cifar10.py']
model = dict(backbone=dict(genotype='enas_micro_cifar', width=20, dropout=0.1, fc_bias=False))
search = dict(
    space=dict(type='ENASMicroSpace'),
    searcher=dict(type='ListSearcher', file='work_dirs/enas_micro_cifar10/export/best-10.jsonl'),
    budget=dict(trials=10))
