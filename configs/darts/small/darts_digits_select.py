# The same with a list that is there, as the tests run it.
_base_ = ['../darts_digits_select.py']
search = dict(searcher=dict(file='configs/darts/small/found.jsonl'))
