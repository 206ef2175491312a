"""``nasdet train`` and ``nasdet test``: what MMDetection's own tools/train.py and tools/test.py do, on a CPU too."""

import copy
import os
import pickle
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from nasdet.config import load_config
from nasdet.datasets.classification_splits import dataset_class
from nasdet.errors import SearchError
from nasdet.models.preprocessing import check_input
from nasdet.stack import resume_problem
from nasdet.training.precision import use_mixed_precision
from nasdet.training.pretrained import check_pretrained

# What test-time augmentation does where a config does not say: the image and its mirror image, merged by NMS.
TTA_MODEL = dict(type='mmdet.DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
TTA_META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')


def train(args) -> int:
    """Run ``nasdet train CONFIG [--work-dir D] [--amp] [--resume [CHECKPOINT]] [--auto-scale-lr] [--launcher L]``."""
    problem = resume_problem()
    if problem and args.resume:
        raise SearchError(problem)
    config = _load(args)
    if args.amp:
        _use_amp(config)
    if args.auto_scale_lr:
        _auto_scale_lr(config)
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    runner = _build_runner(config)
    try:
        check_pretrained(config.model)      # of several ranks, the first one downloads
    except ValueError as error:
        raise SearchError(str(error)) from error
    runner.train()
    return 0


def test(args) -> int:
    """Run ``nasdet test CONFIG CHECKPOINT [--work-dir D] [--out FILE] [--show-dir D] [--tta] [--launcher L]``."""
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise SearchError(f'--out {args.out}: the predictions are pickled, so the name ends with .pkl or .pickle')
    config = _load(args)
    config.load_from = args.checkpoint
    drawn = args.show or args.show_dir
    if drawn or args.tta:
        _refuse_labelled(config, '--tta' if args.tta else '--show and --show-dir')
    if drawn:
        _draw_predictions(config, args)
    if args.tta:
        _augment_tests(config)
    runner = _build_runner(config)
    if args.out:
        from mmdet.evaluation import DumpDetResults
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    try:
        runner.test()
    except FileNotFoundError as error:
        raise SearchError(f'cannot read the checkpoint {args.checkpoint}: {error}') from error
    except pickle.UnpicklingError as error:
        raise SearchError(resume_problem() or f'{args.checkpoint} is not a checkpoint: {error}') from error
    return 0


def _load(args) -> Config:
    """Read the config, with launcher and work dir (command line, else the config's, else named after the file)."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    config.launcher = args.launcher
    if args.work_dir:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    try:
        check_input(config.model)
    except ValueError as error:     # a genotype given by a name or a file that is not there
        raise SearchError(str(error)) from error
    return config


def _build_runner(config: Config) -> Runner:
    return RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)


def _use_amp(config: Config) -> None:
    try:
        use_mixed_precision(config)
    except ValueError as error:
        raise SearchError(f'--amp: {error}') from error
    if config.optim_wrapper.type == 'AmpOptimWrapper':
        config.optim_wrapper.loss_scale = 'dynamic'


def _auto_scale_lr(config: Config) -> None:
    missing = [name for name in ('enable', 'base_batch_size') if name not in config.get('auto_scale_lr', {})]
    if missing:
        raise SearchError(f'--auto-scale-lr: the config has no auto_scale_lr.{missing[0]}; '
                          f'it needs auto_scale_lr=dict(enable=False, base_batch_size=16) or the like')
    config.auto_scale_lr.enable = True


def _refuse_labelled(config: Config, flag: str) -> None:
    dataset = config.test_dataloader.dataset
    if dataset_class(dataset) is not None:
        raise SearchError(f'{flag} is for detectors, and the test_dataloader of this config reads labelled images '
                          f'({dataset.type}): leave it out')


def _draw_predictions(config: Config, args) -> None:
    hook = config.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise SearchError("--show and --show-dir need default_hooks.visualization=dict(type='DetVisualizationHook') "
                          'in the config')
    hook.draw = True
    if args.show:
        hook.show, hook.wait_time = True, args.wait_time
    if args.show_dir:
        hook.test_out_dir = args.show_dir


def _augment_tests(config: Config) -> None:
    """Wrap the model into a test-time augmented one, and end the test pipeline with the augmentations."""
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    pipeline = config.get('tta_pipeline')
    if pipeline is None:
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        augmentation = dict(type='TestTimeAug', transforms=[flips, [dict(type='PackDetInputs', meta_keys=TTA_META)]])
        pipeline = [*copy.deepcopy(dataset.pipeline)[:-1], augmentation]
    dataset.pipeline = pipeline
    config.model = ConfigDict(**config.get('tta_model', TTA_MODEL), module=config.model)
