# DetNAS's blocks in a backbone that trains on a CPU: two places a stage, 65,536 architectures. Its input is that of the
# paper: BGR, 0 to 255, neither shifted nor scaled.
space = dict(
    type='ChoiceBlockSpace',
    stem_channels=16,
    stages=[
        dict(channels=32, num_blocks=2),
        dict(channels=64, num_blocks=2),
        dict(channels=128, num_blocks=2),
        dict(channels=256, num_blocks=2),
    ],
    head_channels=256,
    input=dict(channels='bgr', mean=[0, 0, 0], std=[1, 1, 1]))
