# The demo's search: weight-shared merging cells, PPO controller, built-in data, minutes on a CPU.
_base_ = [
    '../_base_/models/retinanet_r18_small.py',
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/adamw_cosine.py',
]
search = dict(
    data=dict(type='digits', train=3200, val=300, test=600, size=128, seed=0),
    space=dict(
        type='MergingCellSpace', num_cells=7, neck=dict(out_channels=32, stack_times=1, norm_cfg=dict(type='BN'))),
    searcher=dict(type='ReinforceSearcher', update='ppo', batch=20),
    estimator=dict(
        type='SupernetEstimator', epochs=5, recalibration_images=200, cache_features=True, train_threads=1,
        num_workers=1),
    objective='coco/bbox_mAP',
    costs=[dict(type='Macs', scope='neck', input_shape=(3, 128, 128)), dict(type='Params', scope='neck')],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=60),
    seed=0)
