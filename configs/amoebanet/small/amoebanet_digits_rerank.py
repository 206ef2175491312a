# The same with a list that is there, as the tests run it.
_base_ = ['../amoebanet_digits_rerank.py']
search = dict(searcher=dict(file='configs/amoebanet/small/found.jsonl'))
