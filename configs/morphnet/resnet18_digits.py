# MorphNet on the built-in digits: a narrow ResNet-18 is shrunk, then expanded to half its multiply-adds.
_base_ = ['../_base_/classification/digits.py', '../_base_/classification/runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=16, norm_eval=False),
    num_classes=10,
    in_channels=128,
    label_smoothing=0.1,
    data_preprocessor=_base_.data_preprocessor)

# Small batches: a channel needs some hundred steps to die, and 1,200 images make few.
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=0.03))

search = dict(
    data=_base_.data,
    space=dict(type='WidthSpace', model=model, input_shape=(3, 32, 32)),
    trainer=dict(
        type='MorphNetTrainer',
        epochs=30,
        goal=0.4,
        budget=0.5,
        patience=0,     # what would die beyond the goal is bought back by the expansion
        optimizer=dict(type='SGD', lr=0.03, weight_decay=5e-4)),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='model', input_shape=(3, 32, 32)), dict(type='Params', scope='model')],
    control=dict(
        # What is found is trained alone; so is the network with all widths multiplied by one factor, for the epochs of
        # the search besides.
        single=True,
        searcher=dict(type='UniformWidthSearcher', budget=0.5),
        estimator=dict(type='TrainingEstimator', epochs=20)),
    seed=0)
