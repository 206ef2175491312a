# The search on ImageNet on the built-in digits and a small space, without step 1, as the tests run it.
_base_ = ['../bignas_imagenet_coarse_to_fine.py']
data = dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0)
plain = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(_delete_=True, split='train', **data), **plain)
val_dataloader = dict(dataset=dict(_delete_=True, split='val', **data), **plain)
test_dataloader = dict(dataset=dict(_delete_=True, split='test', **data), **plain)
stages = [
    dict(channels=(8, 16), depth=(1, 2), kernel=(3, 5), expansion=(1,), stride=1, se=True),
    dict(channels=(16, 24), depth=(1, 2), kernel=(3, 5), expansion=(2, 3), stride=2, se=True),
]
search = dict(
    data=dict(_delete_=True, **data),
    space=dict(preset=None, stages=stages, stem_channels=(8, 16), head_channels=(32,), resolution=(24, 32)),
    searcher=dict(budgets=None),
    costs=[dict(type='Macs', scope='backbone', input_shape=(3, 32, 32))],
    estimator=dict(checkpoint=None, recalibration_images=40, num_workers=0))
