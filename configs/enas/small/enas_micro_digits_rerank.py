# The same with a list that is there, as the tests run it.
_base_ = ['../enas_micro_digits_rerank.py']
search = dict(searcher=dict(file='configs/enas/small/found_micro.jsonl'))
