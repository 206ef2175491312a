# Step 1: one training of the whole space, the largest, the smallest and two drawn children an iteration. For 4 GPUs:
# torchrun --nproc_per_node 4 -m nasdet train CONFIG --launcher pytorch
_base_ = ['../_base_/classification/imagenet.py', '../_base_/classification/bignas_runtime.py']
stages = [
    dict(channels=(16, 24), depth=(1, 2), kernel=(3,), expansion=(1,), stride=1, se=True),
    dict(channels=(24, 32), depth=(2, 3), kernel=(3,), expansion=(6,), stride=2, se=True),
    dict(channels=(40, 48), depth=(2, 3), kernel=(3, 5), expansion=(6,), stride=2, se=True),
    dict(channels=(80, 88), depth=(2, 3, 4), kernel=(3, 5), expansion=(6,), stride=2, se=True),
    dict(channels=(112, 120, 128), depth=(2, 3, 4, 5, 6), kernel=(3, 5), expansion=(6,), stride=1, se=True),
    dict(channels=(192, 200, 208, 216), depth=(2, 3, 4, 5, 6), kernel=(3, 5), expansion=(6,), stride=2, se=True),
    dict(channels=(320, 352), depth=(1, 2), kernel=(3, 5), expansion=(6,), stride=1, se=True),
]
train_dataloader = dict(batch_size=48)
train_cfg = dict(
    type='SandwichTrainLoop', space=dict(type='ElasticSpace', preset='bignas', backbone=dict(head=True)),
    random_children=2)
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='MBConvSupernet',
        semantics='efficientnet',
        stages=stages,
        stem_channels=(32, 40),
        head_channels=(1280, 1408),
        resolution=(192, 224, 256, 288, 320),
        head=True,
        num_classes=1000,
        dropout=0.2,
        drop_path=0.2),
    label_smoothing=0.1,
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
# A supernet is no single network, so there is nothing to validate: look at the losses of the four children.
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
