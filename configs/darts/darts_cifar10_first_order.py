# The same search of first order.
_base_ = ['darts_cifar10_second_order.py']
search = dict(trainer=dict(order=1))
