# MorphNet for a device: half the time that the roofline of a T4 says, in the place of half the multiply-adds.
_base_ = ['./retinanet_r18_digits.py', '../_base_/devices.py']
search = dict(
    trainer=dict(target=dict(type='latency', **_base_.devices.T4)),
    control=dict(searcher=dict(target=dict(type='latency', **_base_.devices.T4))))
