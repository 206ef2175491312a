# ResNet-10, the proxy backbone of NAS-FPN, trained on the built-in digits.
_base_ = ['../_base_/classification/digits.py', '../_base_/classification/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet10', norm_eval=False),
    num_classes=10,
    in_channels=512,
    label_smoothing=0.1,
    data_preprocessor=_base_.data_preprocessor)
