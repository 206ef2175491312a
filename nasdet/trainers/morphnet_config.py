"""The config of MorphNet's shrinking: one constant learning rate, and weights as they are."""

import copy
from typing import Mapping, Optional

from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS


def structure_learning(config: Config, optimizer: Optional[Mapping]) -> tuple[Config, list[str]]:
    """Return a config for a training that shrinks.

    After the warm-up the learning rate stays what it is (the authors advise against a decay here). Norm layers have no
    weight decay. Weights are not averaged: an average lags behind the channels that die.

    Args:
        config: The prepared config; it is not changed.
        optimizer: In the place of the config's; None: that.

    Returns:
        The config, and the types of the schedules and hooks that were left out of it.
    """
    config = copy.deepcopy(config)
    if optimizer is not None:
        config.optim_wrapper.optimizer = ConfigDict(optimizer)
    left_out = []
    for name, keeps in dict(param_scheduler=_warms_up, custom_hooks=_leaves_weights).items():
        parts = config.get(name) or []
        parts = [parts] if isinstance(parts, Mapping) else parts
        config[name] = [part for part in parts if keeps(part)]
        left_out += [str(part['type']) for part in parts if not keeps(part)]
    config.optim_wrapper.paramwise_cfg = {**(config.optim_wrapper.get('paramwise_cfg') or {}), 'norm_decay_mult': 0.0}
    return config, left_out


def _warms_up(scheduler: Mapping) -> bool:
    """Return whether a schedule ends with the optimiser's own rate, from which it does not come down."""
    if scheduler['type'] == 'LinearLR':
        return scheduler.get('end_factor', 1.0) == 1.0 >= scheduler.get('start_factor', 1.0 / 3)
    return scheduler['type'] == 'ConstantLR'


def _leaves_weights(hook: Mapping) -> bool:
    kind = hook['type'] if isinstance(hook['type'], type) else HOOKS.get(hook['type'])
    return kind is None or not issubclass(kind, EMAHook)
