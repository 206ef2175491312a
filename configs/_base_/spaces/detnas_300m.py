# DetNAS's supernet of the 300M space: stem and stages as ChoiceBlockSpace(preset='300m') has them.
supernet = dict(
    type='DetNASSupernet',
    stem_channels=16,
    stages=[
        dict(channels=64, num_blocks=4),
        dict(channels=160, num_blocks=4),
        dict(channels=320, num_blocks=8),
        dict(channels=640, num_blocks=4),
    ])
