# A search for a classifier's backbone: DetNAS's blocks, each candidate trained by itself, ageing evolution, on the
# built-in digits.
_base_ = ['../_base_/classification/digits.py', '../_base_/classification/runtime.py']

# The classifier as it is before the search; the search replaces its backbone.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet10', norm_eval=False),
    num_classes=10,
    in_channels=512,
    label_smoothing=0.1,
    data_preprocessor=_base_.data_preprocessor)

search = dict(
    data=dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0),
    space=dict(
        type='ChoiceBlockSpace',
        stem_channels=8,
        stages=[
            dict(channels=16, num_blocks=2),
            dict(channels=32, num_blocks=2),
            dict(channels=64, num_blocks=2),
        ]),
    searcher=dict(type='EvolutionSearcher', population=12, sample=4),
    estimator=dict(type='TrainingEstimator', epochs=3),
    objective='accuracy/top1',
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32)), dict(type='Params', scope='backbone')],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=60),
    seed=0)
