# The genotypes of four searches on the built-in digits, each trained for 20 epochs.
# cat work_dirs/darts_[0-3]/best/genotype.json > work_dirs/darts_found.jsonl
_base_ = ['../_base_/classification/cells_digits.py']
model = dict(backbone=dict(genotype='darts_v2_cifar', final_relu=False))
search = dict(
    space=dict(type='DARTSSpace', num_blocks=3),
    searcher=dict(type='ListSearcher', file='work_dirs/darts_found.jsonl'),
    estimator=dict(epochs=20),
    budget=dict(trials=4))
