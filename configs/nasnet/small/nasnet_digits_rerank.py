# The same with a list that is there, as the tests run it.
_base_ = ['../nasnet_digits_rerank.py']
search = dict(searcher=dict(file='configs/nasnet/small/best-3.jsonl'))
