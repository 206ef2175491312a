# A second look at the 10 best candidates of enas_macro_cifar10_search.py: each trained from scratch, for 20 epochs.
# nasdet export work_dirs/enas_macro_cifar10 --top-k 10
_base_ = ['../_base_/classification/cells_cifar10.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='ENASMacroNet',
        genotype=dict(layers=[dict(op='conv3', skips=[])] * 12),
        width=36,
        num_classes=10,
        dropout=0.1))
search = dict(
    space=dict(type='ENASMacroSpace', num_layers=12),
    searcher=dict(type='ListSearcher', file='work_dirs/enas_macro_cifar10/export/best-10.jsonl'),
    budget=dict(trials=10))
