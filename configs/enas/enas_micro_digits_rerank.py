# A second look at the 10 best candidates of enas_micro_digits_search.py: each trained from scratch, for 20 epochs.
# nasdet export work_dirs/enas --top-k 10
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(backbone=dict(genotype='enas_micro_cifar'))
search = dict(
    space=dict(type='ENASMicroSpace', num_blocks=3),
    searcher=dict(type='ListSearcher', file='work_dirs/enas/export/best-10.jsonl'),
    estimator=dict(epochs=20),
    budget=dict(trials=10))
