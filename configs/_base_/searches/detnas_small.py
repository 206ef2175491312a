# DetNAS's evolution on a CPU: 100 candidates. A detector's config adds the space.
search = dict(
    data=dict(type='digits', train=3200, val=300, test=600, size=128, seed=0),
    searcher=dict(
        type='GenerationalEvolutionSearcher', population=20, generations=5, parents=5, mutations=8, crossovers=8),
    estimator=dict(type='SupernetEstimator', epochs=5, recalibration_images=200, train_threads=1, num_workers=1),
    objective='coco/bbox_mAP',
    # 69 % of all architectures meet it, as many as meet 300 M in the paper's space of 20 blocks.
    costs=[
        dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 128, 128), limit=dict(quantile=0.69)),
        dict(type='Params', scope='backbone'),
    ],
    engine=dict(type='LocalEngine', slots=2, timeout=600),
    budget=dict(trials=100),
    seed=0)
