# scikit-learn's handwritten digits, enlarged to 32 px: built in, nothing is downloaded.
# 1,200 training, 297 search-val and 300 test images.
data = dict(type='HandwrittenDigits', size=32, val_size=297, test_size=300, seed=0)
train_transforms = [dict(type='RandomCrop', size=32, padding=4), dict(type='Cutout', size=8, fill=(78, 78, 78))]
loader = dict(num_workers=2, collate_fn=dict(type='default_collate'))

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', transforms=train_transforms, **data),
    **loader)
val_dataloader = dict(
    batch_size=100,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', **data),
    **loader)
test_dataloader = dict(
    batch_size=100,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', **data),
    **loader)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# RGB, of the training images
data_preprocessor = dict(mean=[78.0, 78.0, 78.0], std=[82.7, 82.7, 82.7])
