"""MorphNet's shrinking: one training with a penalty on the alive channels, each by what it costs.

Gordon, Eban, Nachum, Chen, Wu, Yang, Choi: MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
Networks. CVPR 2018, arXiv:1711.06798, algorithm 1, steps 1 and 2.
"""

import logging
from typing import Collection, Mapping, Optional, Sequence, Union

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch import Tensor

from nasdet.models.channels import Resource, trace_channels
from nasdet.training.importance import Importance

Target = Union[str, Mapping]
LAST_GROWTH = 0.95      # of the epochs, after which the penalty grows no more
logger = logging.getLogger(__name__)


@HOOKS.register_module()
class MorphNetHook(Hook):
    """Adds MorphNet's penalty to the loss, and counts the channels that are alive after each epoch.

    The penalty is ``strength / cost`` times G (:meth:`~nasdet.models.channels.Resource.penalty`), with the cost of the
    whole network. Its gradient goes through the optimiser with that of the loss.

    Its strength grows after each epoch until the alive channels have come down to the goal, but only so far that a step
    (the penalty's own, with momentum) moves no channel by more than its threshold. With longer steps channels would
    swing to and fro over the threshold: none stays dead, and the penalty would grow until it destroys the network.

    Args:
        input_shape: (C, H, W) of the image for which costs are counted.
        goal: Share of the network's cost that the alive channels shall come down to.
        target: What is counted, as for :class:`~nasdet.models.channels.Resource`.
        strength: Of the penalty in the first epoch.
        growth: Factor of the strength from epoch to epoch, at most.
        patience: The training ends when the goal is reached and no width has changed in this many epochs; None: after
            the last epoch.
        gamma_threshold: A channel whose batch norm has a smaller abs(gamma) is dead.
        lasso_threshold: A channel without batch norm is when the root mean square of its weights is smaller, as a share
            of the mean of its group at the start.
        groups: Names of the groups of channels that may shrink; None: all.

    Raises:
        ValueError: No group of channels can shrink.
    """

    def __init__(self, input_shape: Sequence[int], goal: float = 0.5, target: Target = 'macs', strength: float = 3.0,
                 growth: float = 1.3, patience: Optional[int] = 3, gamma_threshold: float = 0.01,
                 lasso_threshold: float = 0.1, groups: Optional[Collection[str]] = None):
        self.input_shape, self.target = tuple(input_shape), target
        self.goal, self.growth, self.patience = goal, growth, patience
        self.thresholds = dict(gamma_threshold=gamma_threshold, lasso_threshold=lasso_threshold)
        self.groups = groups
        # What changes from epoch to epoch; a checkpoint holds it.
        self.strength = strength
        self.reached = False
        self.unchanged = 0              # epochs
        self.widths: dict[str, int] = {}
        self.starts: dict[str, float] = {}

    @property
    def ended(self) -> bool:
        """Whether the widths have come to rest at the goal."""
        return self.reached and self.patience is not None and self.unchanged >= self.patience

    def before_train(self, runner) -> None:
        """Trace the network, and measure what it costs as a whole."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.graph = trace_channels(model, self.input_shape)
        self.resource = Resource(self.graph, self.target).to(next(model.parameters()).device)
        self.importance = Importance(model, self.graph, groups=self.groups, starts=self.starts, **self.thresholds)
        self.starts = self.importance.starts
        self.whole = self.resource.cost(self.graph.all_alive())
        if not self.importance.parameters:
            raise ValueError(f'MorphNet: none of the {len(self.graph.groups)} groups of channels can shrink: they '
                             f'are not searched, or frozen (set frozen_stages=-1, requires_grad=True in norm_cfg)')
        if not isinstance(runner.optim_wrapper.optimizer, torch.optim.SGD):
            logger.warning('MorphNet: the rule is made for SGD; %s gives a dear channel the same step as a cheap one: '
                           "set search.trainer.optimizer=dict(type='SGD', ...)",
                           type(runner.optim_wrapper.optimizer).__name__)
        self._first, alive = self._measure()
        self.share = self.resource.cost(alive) / self.whole
        self.widths = self.widths or self._count(alive)
        if self.ended:
            runner.train_loop.stop_training = True

    def _penalty(self) -> Tensor:
        importance = self.importance()
        alive = self.importance.alive(importance)
        return self.strength / self.whole * self.resource.penalty(importance, alive)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Give the weights the gradient of the penalty; that of the loss is added to it."""
        penalty = self._penalty()
        runner.message_hub.update_scalar('train/morphnet_penalty', penalty.detach())
        scaled = runner.optim_wrapper.scale_loss(penalty)
        if hasattr(runner.optim_wrapper, 'loss_scaler'):        # mixed precision on a GPU
            scaled = runner.optim_wrapper.loss_scaler.scale(scaled)
        parameters = self.importance.parameters
        # Not backward(): it would call the hooks by which a distributed training counts its gradients.
        for parameter, gradient in zip(parameters, torch.autograd.grad(scaled, parameters), strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def after_train_epoch(self, runner) -> None:
        """Count, say what is found, and set the strength of the next epoch."""
        importance, alive = self._measure()
        widths, self.share = self._count(alive), self.resource.cost(alive) / self.whole
        self.unchanged = self.unchanged + 1 if widths == self.widths else 0
        self.widths = widths
        self.reached = self.reached or self.share <= self.goal
        done = runner.epoch + 1
        logger.info('epoch %d: the alive channels cost %.1f %% of the %.4g %s of the network; strength of the penalty '
                    '%.3g', done, 100 * self.share, self.whole, self.resource.unit, self.strength)
        if done == 1:
            for sentence in self._problems(runner, importance):
                logger.warning('MorphNet: %s', sentence)
        if self.ended:
            runner.train_loop.stop_training = True
        if not self.reached and done < LAST_GROWTH * runner.max_epochs:
            self.strength *= max(1.0, min(self.growth, self._room(runner.optim_wrapper)))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the state into a checkpoint."""
        checkpoint['morphnet'] = dict(strength=self.strength, reached=self.reached, unchanged=self.unchanged,
                                      widths=self.widths, starts=self.starts)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the state from a checkpoint of such a training."""
        for name, value in checkpoint.get('morphnet', {}).items():
            setattr(self, name, value)

    @torch.no_grad()
    def _measure(self) -> tuple[Tensor, Tensor]:
        importance = self.importance()
        return importance, self.importance.alive(importance)

    def _room(self, optim_wrapper: OptimWrapper) -> float:
        """Return the factor by which the penalty may grow before one of its steps is as long as a threshold."""
        gradients = torch.autograd.grad(self._penalty(), self.importance.parameters)
        rate = max(group['lr'] / (1 - group.get('momentum', 0)) for group in optim_wrapper.param_groups)
        steps = rate * self.importance.of(gradients)
        return float((self.importance.thresholds / steps)[steps > 0].min())

    def _count(self, alive: Tensor) -> dict[str, int]:
        """Return the width of each group of channels."""
        return {name: int(alive[group.channels.to(alive.device)].sum()) * group.step
                for name, group in self.graph.groups.items()}

    def _problems(self, runner, importance: Tensor) -> list[str]:
        """Say, after the first epoch, why the penalty does little or nothing."""
        problems = []
        kinds = self.importance.kinds
        frozen = [name for name, kind in kinds.items() if kind == 'frozen']
        if frozen:
            problems.append(f'{len(frozen)} of {len(kinds)} groups of channels cannot shrink, as their layers are '
                            f'frozen ({", ".join(frozen[:3])}, ...): set frozen_stages=-1 in the backbone')
        unread = [name for name, kind in kinds.items() if kind == 'lasso'
                  and any(self.graph.layers[layer].kind == 'norm' for layer in self.graph.groups[name].passes)]
        if unread:
            problems.append(f'{len(unread)} of {len(kinds)} groups of channels pass norm layers, but are measured by '
                            f'the weights of their layers ({", ".join(unread[:3])}, ...): a gamma is read only of a '
                            f'batch norm right behind each of these layers, not of a GroupNorm')
        gammas = {id(module.weight) for module, _, _ in self.importance.gammas}
        if any(id(parameter) in gammas and group.get('weight_decay', 0) > 0
               for group in runner.optim_wrapper.param_groups for parameter in group['params']):
            problems.append('weight decay shrinks every gamma, dear or cheap: set '
                            'optim_wrapper.paramwise_cfg=dict(norm_decay_mult=0)')
        slow = self._pace(importance, runner.max_epochs, self._room(runner.optim_wrapper))
        return problems + [slow] if slow else problems

    def _pace(self, importance: Tensor, epochs: int, room: float) -> str:
        """Say so where no channel would die if all went on as in the first epoch, with the growth that is left."""
        thresholds = self.importance.thresholds
        measured = thresholds > 0
        steps = sum(max(1.0, min(self.growth ** epoch, room)) for epoch in range(1, epochs))
        fall = (self._first - importance).clamp(min=0)
        if ((importance - fall * steps) <= thresholds)[measured].any():
            return ''
        stronger = f', or strength (now {self.strength:g})' if room > 1 else ''
        nearest, fastest = ((values / thresholds)[measured] for values in (importance, fall))
        return (f'no channel is about to die: after the first epoch the nearest has {nearest.min().item():.3g} times '
                f'the importance below which it is dead, and none fell by more than {fastest.max().item():.2g} times '
                f'that; give it more iterations (epochs, or smaller batches){stronger}')
