# The same with fewer layers and a list that is there, as the tests run it.
_base_ = ['../enas_macro_digits_rerank.py']
model = dict(backbone=dict(genotype=dict(layers=[dict(op='conv3', skips=[])] * 4), width=4))
search = dict(space=dict(num_layers=4), searcher=dict(file='configs/enas/small/found_macro.jsonl'))
