"""Search NAS-Bench-201 with ageing evolution through the ordinary command; 500 trials take seconds.

From the root of the repository::

    PYTHONPATH=. python tools/search.py benchmarks/nasbench201/config.py --work-dir DIR \
        --cfg-options search.estimator.table=PATH/TO/nasbench201.csv
"""

custom_imports = dict(imports=['benchmarks.nasbench201.space'], allow_failed_imports=False)
search = dict(
    space=dict(type='NasBench201Space'),
    searcher=dict(type='EvolutionSearcher', population=10, sample=3),
    estimator=dict(type='TabularEstimator', table='nasbench201.csv', key='arch',
                   metrics=['cifar10_valid_12ep', 'cifar10_test_200ep']),
    objective='cifar10_valid_12ep',
    engine=dict(type='InlineEngine'),
    budget=dict(trials=500),
    seed=0)
