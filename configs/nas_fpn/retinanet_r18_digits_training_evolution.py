# Every candidate is trained by itself, for a few epochs: the paper's way, with ageing evolution, on the built-in data.
_base_ = ['retinanet_r18_digits_supernet_ppo.py']
search = dict(
    searcher=dict(_delete_=True, type='EvolutionSearcher', population=20, sample=5),
    estimator=dict(_delete_=True, type='TrainingEstimator', epochs=4),
    engine=dict(timeout=3600),
    budget=dict(trials=100))
