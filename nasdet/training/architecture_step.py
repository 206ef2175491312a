"""The gradient of architecture parameters for what the weights will be, of first and second order.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055, section 2.3. Weights are
put back from copies, where the authors' code subtracts what it has added, which leaves rounding errors.
"""

from contextlib import contextmanager
from typing import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import SGD, Optimizer

PERTURBATION = 0.01     # norm of what is added to the weights (footnote 2 of section 2.3)

Loss = Callable[[], Tensor]


def first_order(validation_loss: Loss, alphas: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the validation loss and its gradient for architecture parameters, with the weights as they are.

    Args:
        validation_loss: Computes the loss on a batch of search-val.
        alphas: Architecture parameters.
    """
    loss = validation_loss()
    return loss.detach(), list(torch.autograd.grad(loss, alphas, materialize_grads=True))


def second_order(training_loss: Loss, validation_loss: Loss, alphas: Sequence[Tensor],
                 optimizer: SGD) -> tuple[Tensor, list[Tensor]]:
    """Return the validation loss after one virtual step of the weights, and its gradient (equations 6 to 8).

    The virtual step w' is the one that the weights' optimiser would make: with its learning rate xi, momentum and
    weight decay. The gradient goes through it::

        dL_val(w', alpha)/dalpha - xi * (dL_train(w+, alpha)/dalpha - dL_train(w-, alpha)/dalpha) / (2 epsilon)

    where w+ and w- are w +- epsilon * dL_val(w', alpha)/dw'. Weights and their optimiser are left as they were, bit
    for bit; of buffers, such as batch norm statistics, the caller takes care (:func:`restored`).

    Args:
        training_loss: Computes the loss on a batch of search-train, with the weights as they are when it is called.
        validation_loss: The same on a batch of search-val.
        alphas: Architecture parameters, none of them in ``optimizer``.
        optimizer: Of the weights (:func:`check_virtual_step`).
    """
    weights = [weight for group in optimizer.param_groups for weight in group['params'] if weight.requires_grad]
    with restored(weights) as before:
        _step_virtually(training_loss(), weights, optimizer)
        loss = validation_loss()
        gradients = torch.autograd.grad(loss, [*alphas, *weights], materialize_grads=True)
        direct, along = gradients[:len(alphas)], gradients[len(alphas):]
        through = _mixed_derivative(training_loss, alphas, weights, before, along)
    rate = optimizer.param_groups[0]['lr']
    return loss.detach(), [gradient - rate * mixed for gradient, mixed in zip(direct, through, strict=True)]


@torch.no_grad()
def _step_virtually(loss: Tensor, weights: Sequence[Tensor], optimizer: SGD) -> None:
    """Make the step of SGD, and leave its momentum as it is."""
    groups = [group for group in optimizer.param_groups for weight in group['params'] if weight.requires_grad]
    gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
    for weight, gradient, group in zip(weights, gradients, groups, strict=True):
        step = gradient.add(weight, alpha=group['weight_decay'])
        momentum = optimizer.state.get(weight, {}).get('momentum_buffer')
        if momentum is not None:
            step.add_(momentum, alpha=group['momentum'])
        weight.sub_(step, alpha=group['lr'])


def _mixed_derivative(training_loss: Loss, alphas: Sequence[Tensor], weights: Sequence[Tensor],
                      centre: Sequence[Tensor], along: Sequence[Tensor]) -> list[Tensor]:
    """Return the derivative of the training loss's architecture gradient along a direction of the weights."""
    norm = get_total_norm(along).item()
    if norm == 0:
        return [torch.zeros_like(alpha) for alpha in alphas]
    epsilon = PERTURBATION / norm
    gradients = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, middle, direction in zip(weights, centre, along, strict=True):
                weight.copy_(middle).add_(direction, alpha=sign * epsilon)
        gradients.append(torch.autograd.grad(training_loss(), alphas, materialize_grads=True))
    return [(above - below) / (2 * epsilon) for above, below in zip(*gradients, strict=True)]


def check_virtual_step(optimizer: Optimizer) -> None:
    """Refuse an optimiser whose step :func:`second_order` does not differentiate.

    Raises:
        ValueError: It is not SGD with one learning rate and plain momentum.
    """
    groups = optimizer.param_groups
    plain = type(optimizer) is SGD and not any(group['nesterov'] or group['dampening'] or group['maximize']
                                               for group in groups)
    if not plain or len({group['lr'] for group in groups}) > 1:
        raise ValueError('the second-order step differentiates a step of SGD with one learning rate, without Nesterov '
                         'momentum and dampening: take such an optimizer in optim_wrapper, or order=1')


@contextmanager
def restored(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Give copies of tensors, and put them back at the end, bit for bit."""
    tensors = list(tensors)
    copies = [tensor.detach().clone() for tensor in tensors]
    try:
        yield copies
    finally:
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)
