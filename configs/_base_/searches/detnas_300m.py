# DetNAS's search of a backbone of at most 300 M multiply-adds: 20 generations of 50, on one GPU, where batch norm sees
# the whole batch.
norm_cfg = dict(type='BN', requires_grad=True)
search = dict(
    data=dict(type='config', val=5000),
    space=dict(
        type='ChoiceBlockSpace',
        preset='300m',
        input=dict(channels='bgr', mean=[0, 0, 0], std=[1, 1, 1]),
        backbone=dict(
            norm_cfg=norm_cfg,
            # The last checkpoint of step 1, or the authors' supernet, renamed by nasdet.convert.detnas. None starts
            # from scratch: the paper's DetNAS-scratch, which trains longer.
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/supernet_300m_imagenet_pretrain/epoch_240.pth',
                prefix='backbone.'))),
    searcher=dict(
        type='GenerationalEvolutionSearcher', population=50, generations=20, parents=10, mutations=20, crossovers=20,
        rate=0.1),
    # The authors measure batch norm statistics on 4,000 images, by a moving average; a cumulative one takes 200.
    estimator=dict(type='SupernetEstimator', recalibration_images=200, num_workers=8),
    objective='coco/bbox_mAP',
    costs=[
        dict(type='AdditiveMacs', scope='backbone', input_shape=(3, 224, 224), limit=300e6),
        dict(type='Params', scope='backbone'),
    ],
    engine=dict(type='LocalEngine', slots=1, timeout=2 * 3600),
    budget=dict(trials=1000),
    seed=0)
