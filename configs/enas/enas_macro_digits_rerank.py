# A second look at the 10 best candidates of enas_macro_digits_search.py: each trained from scratch, for 20 epochs.
# nasdet export work_dirs/enas_macro --top-k 10
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='ENASMacroNet',
        genotype=dict(layers=[dict(op='conv3', skips=[])] * 6),
        width=16,
        num_classes=10))
search = dict(
    space=dict(type='ENASMacroSpace', num_layers=6),
    searcher=dict(type='ListSearcher', file='work_dirs/enas_macro/export/best-10.jsonl'),
    estimator=dict(epochs=20),
    budget=dict(trials=10))
