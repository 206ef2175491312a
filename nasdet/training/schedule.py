"""A learning rate schedule written for some epochs, carried over to fewer or more."""

from itertools import accumulate, pairwise
from typing import Any, Mapping, Sequence, Union

WARMUP_SHARE = 0.1      # a warm-up counted in iterations takes at most this share of the training
SCALABLE = ('MultiStep', 'Step', 'CosineAnnealing', 'CosineRestart', 'Linear', 'Constant', 'Poly', 'Exponential')
TIMES = ('begin', 'end', 'T_max', 'step_size')


def scale_schedule(schedulers: Union[Mapping, Sequence[Mapping]], source_epochs: int, epochs: int,
                   epoch_length: int) -> list[dict[str, Any]]:
    """Carry parameter schedulers over to another number of epochs, counted in iterations.

    Everything keeps its place relative to the whole training, but a warm-up that is counted in iterations: that stays
    as it is, and ends after a tenth of the training at the latest.

    Args:
        schedulers: mmengine ``param_scheduler`` config, written for ``source_epochs``.
        source_epochs: ``train_cfg.max_epochs`` of the config.
        epochs: Epochs that are trained.
        epoch_length: Iterations an epoch.

    Returns:
        Scheduler configs with ``by_epoch=False``.

    Raises:
        ValueError: A scheduler whose times cannot be scaled.
    """
    if isinstance(schedulers, Mapping):
        schedulers = [schedulers]
    scaled = [_scale(scheduler, epochs / source_epochs, epoch_length, epochs) for scheduler in schedulers]
    return [scheduler for scheduler in scaled if scheduler.get('end', 1) > scheduler.get('begin', 0)]


def _scale(scheduler: Mapping, unit: float, epoch_length: int, epochs: int) -> dict[str, Any]:
    stem = scheduler['type'].removesuffix('LR').removesuffix('Momentum').removesuffix('ParamScheduler')
    if stem not in SCALABLE:
        raise ValueError(f'param_scheduler {scheduler["type"]!r} cannot be scaled to other epochs; use one of '
                         f'{", ".join(f"{name}LR" for name in SCALABLE)}')
    scaled = dict(scheduler)
    scaled.pop('convert_to_iter_based', None)
    if scaled.pop('by_epoch', True):
        unit *= epoch_length
    elif _is_warmup(stem, scaled):
        return dict(scaled, end=min(scaled['end'], int(epochs * epoch_length * WARMUP_SHARE)), by_epoch=False)
    for name in TIMES:
        if scaled.get(name) is not None:
            scaled[name] = round(scaled[name] * unit)
    if stem == 'Exponential':
        scaled['gamma'] **= 1 / unit
    if 'milestones' in scaled:
        scaled['milestones'] = [round(milestone * unit) for milestone in scaled['milestones']]
    if 'periods' in scaled:
        ends = [0, *(round(end * unit) for end in accumulate(scaled['periods']))]
        scaled['periods'] = [after - before for before, after in pairwise(ends)]
    return dict(scaled, by_epoch=False)


def _is_warmup(stem: str, scheduler: Mapping) -> bool:
    rising = stem == 'Constant' or (
        stem == 'Linear' and scheduler.get('start_factor', 1 / 3) < scheduler.get('end_factor', 1.0))
    return rising and scheduler.get('begin', 0) == 0 and 'end' in scheduler
