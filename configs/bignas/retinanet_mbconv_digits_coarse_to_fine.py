# BigNAS in small on a detector: one training of a RetinaNet with 884,736 backbones, then a front of them.
_base_ = [
    '../_base_/models/retinanet_r18_small.py',
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/adamw_cosine.py',
]
stages = [
    dict(channels=(12, 16), depth=(1, 2), kernel=(3, 5), expansion=(2, 3), stride=2, se=True),
    dict(channels=(16, 24, 32), depth=(1, 2), kernel=(3, 5), expansion=(2, 3), stride=2, se=True),
    dict(channels=(32, 48, 64), depth=(1, 2), kernel=(3, 5), expansion=(2, 3), stride=2, se=True),
    dict(channels=(64, 80, 96), depth=(1, 2), kernel=(3, 5), expansion=(2, 3), stride=2, se=True),
]
search = dict(
    data=dict(type='digits', train=1600, val=300, test=600, size=128, seed=0),
    # A step trains its four children on images of one of these sizes; a child is scored on images of its own.
    space=dict(
        type='ElasticSpace', stages=stages, stem_channels=(8, 16), resolution=(96, 128), backbone=dict(drop_path=0.1)),
    searcher=dict(
        type='CoarseToFineSearcher', mutations=48, rate=0.15,
        budgets={'Macs(backbone)': [2e6, 3e6, 4e6, 5.5e6, 7.5e6, 10e6, 14e6, 19e6]}),
    estimator=dict(
        type='SupernetEstimator', epochs=8, recalibration_images=200, sandwich=dict(random_children=2), train_threads=1,
        num_workers=1),
    objective='coco/bbox_mAP',
    costs=[
        dict(type='Macs', scope='backbone', input_shape=(3, 128, 128)),
        dict(type='Params', scope='backbone'),
    ],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=100),
    seed=0)
