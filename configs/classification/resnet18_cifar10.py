# mmdet's ResNet-18 trained on CIFAR-10.
_base_ = ['../_base_/classification/cifar10.py', '../_base_/classification/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, norm_eval=False),
    num_classes=10,
    in_channels=512,
    label_smoothing=0.1,
    data_preprocessor=_base_.data_preprocessor)

train_cfg = dict(max_epochs=100)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=100, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=128)
