# The same with LSTM surrogates.
_base_ = ['pnas_digits_progressive.py']
search = dict(searcher=dict(surrogate='lstm'))
