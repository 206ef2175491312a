# MorphNet on a detector and the built-in digits: backbone, neck and heads are shrunk, then expanded to half the
# multiply-adds.
_base_ = [
    '../_base_/models/retinanet_r18_small.py',
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/adamw_cosine.py',
]
search = dict(
    data=dict(type='digits', train=3200, val=300, test=600, size=128, seed=0),
    space=dict(type='WidthSpace', model=_base_.model, input_shape=(3, 128, 128)),
    trainer=dict(
        type='MorphNetTrainer',
        epochs=10,
        goal=0.4,
        budget=0.5,
        patience=0,     # what would die beyond the goal is bought back by the expansion
        # The config's AdamW would give a dear channel the same step as a cheap one.
        optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
        num_workers=1),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='model', input_shape=(3, 128, 128)), dict(type='Params', scope='model')],
    control=dict(
        # What is found is trained alone; so is the detector with all widths multiplied by one factor, for the epochs of
        # the search besides.
        single=True,
        searcher=dict(type='UniformWidthSearcher', budget=0.5),
        estimator=dict(type='TrainingEstimator', epochs=5)),
    seed=0)
