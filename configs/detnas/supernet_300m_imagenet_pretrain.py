# Step 1: the supernet of the 300M space learns ImageNet, one uniformly drawn path an iteration. For 8 GPUs:
# torchrun --nproc_per_node 8 -m nasdet train CONFIG --launcher pytorch
_base_ = [
    '../_base_/spaces/detnas_300m.py',
    '../_base_/classification/imagenet.py',
    '../_base_/classification/detnas_runtime.py',
]
space = dict(type='ChoiceBlockSpace', preset='300m', backbone=dict(head=True))
model = dict(
    type='ImageClassifier',
    backbone=dict(**_base_.supernet, head=True, num_classes=1000, dropout=0.2),
    label_smoothing=0.1,
    data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], rgb_to_bgr=True))
# A supernet is no single network, so there is nothing to validate: look at the loss.
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None

# No averages (EMA): each iteration trains another path. It follows from seed and iteration, so all ranks train one.
# Paths are drawn uniformly, as in the paper. The authors' code spreads the multiply-adds of paths, head included, over
# seven bins; for that add to PathSamplingHook:
#     sampling=dict(type='BinnedPaths', cost=dict(type='AdditiveMacs'), edges=[290e6 + 10e6 * i for i in range(8)])
custom_hooks = [dict(type='PathSamplingHook', space=space), dict(type='ReseedHook')]
find_unused_parameters = True       # under torchrun: the other paths get no gradient
