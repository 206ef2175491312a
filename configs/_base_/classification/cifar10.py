# CIFAR-10: 45,000 training, 5,000 search-val and 10,000 test images. Images are augmented at 32 px and enlarged to
# 64 px, because detection backbones reduce the resolution by 32. Put the data in data/cifar10, or set
# data.download=True to let torchvision fetch it.
data = dict(type='CIFAR', root='data/cifar10', num_classes=10, download=False, val_size=5000, seed=0)
enlarge = dict(type='Resize', size=[64, 64])
train_transforms = [
    dict(type='RandomCrop', size=32, padding=4),
    dict(type='RandomHorizontalFlip'),
    dict(type='Cutout', size=16, fill=(125, 123, 114)),
    enlarge,
]
loader = dict(num_workers=2, collate_fn=dict(type='default_collate'))

train_dataloader = dict(
    batch_size=128,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', transforms=train_transforms, **data),
    **loader)
val_dataloader = dict(
    batch_size=250,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', transforms=[enlarge], **data),
    **loader)
test_dataloader = dict(
    batch_size=250,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', transforms=[enlarge], **data),
    **loader)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# RGB, of the training images
data_preprocessor = dict(mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7])
