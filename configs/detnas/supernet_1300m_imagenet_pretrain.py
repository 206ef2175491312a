# Step 1 for the 1.3G space: 40 blocks, three times as wide at the start.
_base_ = ['supernet_300m_imagenet_pretrain.py']
space = dict(type='ChoiceBlockSpace', preset='1.3g', backbone=dict(head=True))
model = dict(
    backbone=dict(
        stem_channels=48,
        stages=[
            dict(channels=96, num_blocks=8),
            dict(channels=240, num_blocks=8),
            dict(channels=480, num_blocks=16),
            dict(channels=960, num_blocks=8),
        ]))
custom_hooks = [dict(type='PathSamplingHook', space=space), dict(type='ReseedHook')]
