"""What happens inside a training: hooks, batch norm recalibration, precision, checkpoints, and the Runner for it."""

from nasdet.training.bilevel import BilevelTrainLoop, WeightsOptimWrapperConstructor
from nasdet.training.checkpoints import AtomicBackend, latest_checkpoint, save_trained, save_weights, trained_state
from nasdet.training.drop_path import DropPathScheduleHook
from nasdet.training.enas import ENASTrainLoop
from nasdet.training.hooks import LossCheckHook, ReseedHook
from nasdet.training.morphnet import MorphNetHook
from nasdet.training.paths import BinnedPaths, PathSamplingHook, extracted_state, searched_modules, set_path
from nasdet.training.precision import CpuAmpOptimWrapper
from nasdet.training.progress import ProgressHook, train_shown
from nasdet.training.recalibration import recalibrated
from nasdet.training.runner import TrainingRunner, build_runner, set_workers
from nasdet.training.sandwich import SandwichTrainLoop, check_sandwich, sandwich_step
from nasdet.training.schedule import scale_schedule

__all__ = [
    'AtomicBackend', 'BilevelTrainLoop', 'BinnedPaths', 'CpuAmpOptimWrapper', 'DropPathScheduleHook', 'ENASTrainLoop',
    'LossCheckHook', 'MorphNetHook', 'PathSamplingHook', 'ProgressHook', 'ReseedHook', 'SandwichTrainLoop',
    'TrainingRunner', 'WeightsOptimWrapperConstructor', 'build_runner', 'check_sandwich', 'extracted_state',
    'latest_checkpoint', 'recalibrated', 'sandwich_step', 'save_trained', 'save_weights', 'scale_schedule',
    'searched_modules', 'set_path', 'set_workers', 'train_shown', 'trained_state',
]
