# ImageNet-1k as torchvision reads it: data/imagenet/train and data/imagenet/val, a folder a class. Trained on all
# 1,281,167 training images, 8 GPUs of 128 images, and validated on the 50,000 of the folder val.
data = dict(type='ImageFolder', root='data/imagenet/train', test_root='data/imagenet/val')
train_transforms = [
    dict(type='RandomResizedCrop', size=224),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='RandomHorizontalFlip'),
]
test_transforms = [dict(type='Resize', size=256), dict(type='CenterCrop', size=224)]
loader = dict(num_workers=8, collate_fn=dict(type='default_collate'))

train_dataloader = dict(
    batch_size=128,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='trainval', transforms=train_transforms, **data),
    **loader)
val_dataloader = dict(
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', transforms=test_transforms, **data),
    **loader)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
