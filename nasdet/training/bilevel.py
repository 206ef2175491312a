"""Training weights and architecture parameters in turn.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055, algorithm 1.
"""

import math
from contextlib import contextmanager
from itertools import count
from typing import Any, Iterator, Mapping, Optional, Sequence

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import LOOPS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn

from nasdet.randomness import validation_seed
from nasdet.training.architecture_step import check_virtual_step, first_order, restored, second_order
from nasdet.training.hooks import seed_workers

ADAM = dict(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)


def relaxed_module(model: nn.Module) -> nn.Module:
    """Return the part of a model that has architecture parameters: ``alphas`` by name, and ``derive()``.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [module for module in model.modules() if hasattr(module, 'alphas') and hasattr(module, 'derive')]
    if len(found) != 1:
        raise ValueError(f'{type(model).__name__} has {len(found)} parts with architecture parameters (alphas and '
                         f'derive()), not one: train the model that space.relaxed(model) makes')
    return found[0]


def architecture_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the architecture parameters of a model."""
    return list(relaxed_module(model).alphas.values())


def count_skips(genotype: Mapping) -> int:
    """Return the identities in the normal cell of a cell genotype's plain value."""
    return sum(op == 'id' for block in genotype['normal']['blocks'] for op in (block[1], block[3]))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, but architecture parameters are left out: they have an optimiser of their own."""

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the optimiser's wrapper for the weights of a model."""
        wrapper = super().__call__(model)
        apart = {id(alpha) for alpha in architecture_parameters(model)}
        groups = wrapper.optimizer.param_groups
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if id(parameter) not in apart]
        wrapper.optimizer.param_groups = [group for group in groups if group['params']]
        return wrapper


@LOOPS.register_module()
class BilevelTrainLoop(EpochBasedTrainLoop):
    """Each iteration makes a step of the architecture on a batch of search-val, then one of the weights.

    Both steps of an iteration see the same batch of search-train. Adam moves the architecture parameters. The weights'
    optimiser must not have them: set ``optim_wrapper.constructor='WeightsOptimWrapperConstructor'``. An architecture
    step leaves weights, their momentum and batch norm statistics as they were, bit for bit. What it needs to go on, a
    checkpoint has.

    Args:
        runner: mmengine's, on one device; its model has architecture parameters (:func:`relaxed_module`).
        dataloader: As of mmengine's EpochBasedTrainLoop.
        max_epochs: Epochs to train.
        val_dataloader: Config of the loader of search-val's batches, with a shuffling DefaultSampler.
        order: 2 differentiates through a virtual step of the weights, 1 takes the weights as they are.
        architecture: Arguments of torch's Adam for the architecture parameters.
        warmup_epochs: Epochs of the weights alone before.
        max_skips: Stop after the epoch in which the derived normal cell has more identities than this; ``derived``
            stays as it was before. None: never.
        **kwargs: Further arguments of mmengine's EpochBasedTrainLoop.

    Attributes:
        derived: Plain value of the genotype that the training gives: the last one, unless ``max_skips`` refused it.

    Raises:
        ValueError: An argument does not fit, or the config accumulates gradients.
    """

    def __init__(self, runner, dataloader, max_epochs: int, val_dataloader: Mapping, order: int = 2,
                 architecture: Mapping = ADAM, warmup_epochs: int = 0, max_skips: Optional[int] = None, **kwargs):
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        if order not in (1, 2):
            raise ValueError(f'order is 1 or 2, not {order!r}')
        if is_model_wrapper(runner.model):
            raise ValueError('BilevelTrainLoop trains on one device: its architecture gradients are not averaged')
        if runner.cfg.get('optim_wrapper', {}).get('accumulative_counts', 1) != 1:
            raise ValueError('BilevelTrainLoop makes a step of the weights in each iteration: leave '
                             'accumulative_counts out of optim_wrapper')
        self.order, self.warmup_epochs, self.max_skips = order, warmup_epochs, max_skips
        self.val_dataloader = runner.build_dataloader(val_dataloader, seed=validation_seed(runner.seed))
        if len(self.val_dataloader) == 0:
            raise ValueError('search-val makes no batch of this size: take a smaller batch_size, or more images')
        self.relaxed = relaxed_module(runner.model)
        self.alphas = architecture_parameters(runner.model)
        self.optimizer = torch.optim.Adam(self.alphas, **{**ADAM, **architecture})
        self.derived: Optional[dict] = None
        runner.register_hook(ArchitectureHook(self))

    @property
    def is_last_epoch(self) -> bool:
        """Whether the epoch that is being trained is the last; known when it ends."""
        return self.stop_training or self.epoch + 1 == self.max_epochs

    def run(self) -> nn.Module:
        """Train all epochs."""
        optimizer = self.runner.optim_wrapper.optimizer
        apart = {id(alpha) for alpha in self.alphas}
        if any(id(parameter) in apart for group in optimizer.param_groups for parameter in group['params']):
            raise ValueError("the weights' optimiser has the architecture parameters too: set constructor="
                             "'WeightsOptimWrapperConstructor' in optim_wrapper")
        if self.order == 2:
            check_virtual_step(optimizer)
        return super().run()

    def run_epoch(self) -> None:
        """Train an epoch, with an order of search-val of its own."""
        self._validation = self._validation_batches()
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Make a step of the architecture and one of the weights."""
        runner = self.runner
        runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = {}
        if self.epoch >= self.warmup_epochs:
            outputs['loss_architecture'] = self._step_architecture(data_batch)
        with _constant(self.alphas):
            outputs.update(runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper))
        runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _step_architecture(self, training_batch: Any) -> Tensor:
        """Make a step of the architecture and return the loss on search-val that it was made for."""
        loss, gradients = self.architecture_gradients(training_batch, next(self._validation))
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def architecture_gradients(self, training_batch: Any, validation_batch: Any) -> tuple[Tensor, list[Tensor]]:
        """Return the loss on a batch of search-val and its gradient for the architecture; nothing is changed.

        Args:
            training_batch: Of the data loader, for the virtual step of the weights.
            validation_batch: Of search-val's.
        """
        model = self.runner.model

        def loss_on(batch):
            batch = model.data_preprocessor(batch, True)
            return lambda: model.parse_losses(model(**batch, mode='loss'))[0]

        with restored(model.buffers()):
            if self.order == 1:
                return first_order(loss_on(validation_batch), self.alphas)
            return second_order(loss_on(training_batch), loss_on(validation_batch), self.alphas,
                                self.runner.optim_wrapper.optimizer)

    def _validation_batches(self) -> Iterator[Any]:
        """Yield batches of search-val without end; their order follows from the seed and the epoch."""
        passes = math.ceil(len(self.dataloader) / len(self.val_dataloader))
        for number in count():
            self.val_dataloader.sampler.set_epoch(self.epoch * passes + number)
            seed_workers(self.val_dataloader, (self.runner.seed, self.epoch, get_rank(), number + 1))
            yield from self.val_dataloader

    def derive(self) -> None:
        """Note what the architecture parameters stand for now, or stop."""
        derived = self.relaxed.derive()
        moved = self.epoch >= self.warmup_epochs
        self.stop_training = self.max_skips is not None and moved and count_skips(derived) > self.max_skips
        if not self.stop_training or self.derived is None:
            self.derived = derived


class ArchitectureHook(Hook):
    """Derives the genotype after each epoch, and keeps what a bilevel training needs in its checkpoints.

    Args:
        loop: The training's.
    """

    priority = 'VERY_HIGH'      # other hooks of an epoch's end see the genotype

    def __init__(self, loop: BilevelTrainLoop):
        self.loop = loop

    def after_train_epoch(self, runner) -> None:
        """Derive the epoch's genotype."""
        self.loop.derive()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add Adam's state, the genotype, and whether the training has stopped; the parameters are in the model."""
        checkpoint['architecture'] = dict(optimizer=self.loop.optimizer.state_dict(), derived=self.loop.derived,
                                          stopped=self.loop.stop_training)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take them."""
        state = checkpoint['architecture']
        self.loop.optimizer.load_state_dict(state['optimizer'])
        self.loop.derived, self.loop.stop_training = state['derived'], state['stopped']


@contextmanager
def _constant(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Compute no gradients for some parameters."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
