# A two-stage detector: levels 2 to 6, whose strides the search writes into RPN and RoI heads; ageing evolution.
_base_ = [
    '../_base_/models/faster_rcnn_r18_small.py',
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/adamw_cosine.py',
]
search = dict(
    data=dict(type='digits', train=3200, val=300, test=600, size=128, seed=0),
    space=dict(
        type='MergingCellSpace',
        num_cells=7,
        levels=(2, 3, 4, 5, 6),
        neck=dict(out_channels=32, stack_times=1, norm_cfg=dict(type='BN'))),
    searcher=dict(type='EvolutionSearcher', population=20, sample=5),
    estimator=dict(
        type='SupernetEstimator', epochs=5, recalibration_images=200, cache_features=True, train_threads=1,
        num_workers=1),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='neck', input_shape=(3, 128, 128)), dict(type='Params', scope='neck')],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=100),
    seed=0)
