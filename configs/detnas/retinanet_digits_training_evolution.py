# Every candidate is trained by itself, for a few epochs, without any supernet: what a supernet's scores stand for.
_base_ = ['retinanet_digits_evolution.py']
search = dict(
    space=dict(backbone=dict(init_cfg=None)),
    estimator=dict(_delete_=True, type='TrainingEstimator', epochs=4),
    engine=dict(timeout=3600))
