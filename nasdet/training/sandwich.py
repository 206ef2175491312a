"""The sandwich rule with in-place distillation: what a supernet of parts of one network is trained by.

Yu, Huang: Universally Slimmable Networks and Improved Training Techniques. ICCV 2019, arXiv:1903.05134, section 3; Yu,
Jin, Liu, Bender, Kindermans, Tan, Huang, Song, Pang, Le: BigNAS: Scaling Up Neural Architecture Search with Big
Single-Stage Models. ECCV 2020, arXiv:2003.11142.
"""

from typing import Mapping, Optional, Union

from mmengine.optim import OptimWrapper
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn

from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta
from nasdet.randomness import PATHS, generator
from nasdet.registry import SPACES, build
from nasdet.training.distillation import child_loss_of, unwrapped
from nasdet.training.paths import build_sampler, searched_modules, sequence_seed, set_path
from nasdet.training.recalibration import norm_layers


@LOOPS.register_module()
class SandwichTrainLoop(EpochBasedTrainLoop):
    """Trains several children in each iteration: the largest, the smallest, and some that are drawn.

    They follow from (seed, iteration) alone: all ranks train the same ones, and a resumed training goes on with the
    same sequence. Batch norm keeps no running averages, which would mix the children: it is measured anew for each one
    that is scored.

    Args:
        runner: mmengine's.
        dataloader: As of mmengine's EpochBasedTrainLoop.
        max_epochs: Epochs to train.
        space: The space that draws genotypes and has a ``smallest`` and a ``largest`` one, or its config.
        random_children: Number of children drawn in an iteration.
        seed: Of the drawn sequence; None takes the Runner's.
        sampling: How children are drawn, such as ``dict(type='BinnedPaths', cost=..., edges=...)``; None: uniformly.
        **kwargs: Further arguments of mmengine's EpochBasedTrainLoop.

    Raises:
        ValueError: The space has no extremes, the model cannot be distilled, or the config accumulates gradients.
    """

    def __init__(self, runner, dataloader, max_epochs: int, space: Union[Mapping, object], random_children: int = 2,
                 seed: Optional[int] = None, sampling: Optional[Mapping] = None, **kwargs):
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self.space = build(SPACES, space) if isinstance(space, Mapping) else space
        self.random_children, self.seed = random_children, seed
        check_sandwich(self.space, runner.model)
        if runner.cfg.get('optim_wrapper', {}).get('accumulative_counts', 1) != 1:
            raise ValueError('SandwichTrainLoop adds up the gradients of the children of one batch, and those of '
                             'several batches not: leave accumulative_counts out of optim_wrapper')
        self.draw = build_sampler(sampling, self.space, runner.cfg.get('model'))
        _stop_averages(runner.model)

    def children(self, iteration: int) -> dict[str, Genotype]:
        """Return the genotypes trained in an iteration by the names that their losses have in the log."""
        rng = generator(sequence_seed(self.runner, self.seed), iteration, PATHS)
        drawn = {f'random{number}': self.draw(rng) for number in range(1, self.random_children + 1)}
        children = dict(largest=self.space.largest(), smallest=self.space.smallest(), **drawn)
        return self.space.at_one_size(children, rng) if self.space.can('at_one_size') else children

    def run_iter(self, idx: int, data_batch: Mapping) -> None:
        """Train the children of an iteration on a batch."""
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = sandwich_step(self.runner.model, self.space, self.children(self.iter), data_batch,
                                self.runner.optim_wrapper)
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1


def _stop_averages(model: nn.Module) -> None:
    """Keep the running statistics of batch norm as they are, but for a backbone that all children have whole."""
    model = unwrapped(model)
    backbone_is_searched = any(name.startswith('backbone') for name in searched_modules(model))
    parts = [part for name, part in model.named_children() if name != 'backbone' or backbone_is_searched]
    for layer in norm_layers(parts):
        layer.momentum = 0.0


def sandwich_step(model: nn.Module, space, children: Mapping[str, Genotype], batch: Mapping,
                  optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
    """Train children on one batch: a backward pass for each, whose gradients add up, and one step of the optimiser.

    The first child learns from the labels and teaches the others, by what it says before the step: those of a
    classifier learn from its probabilities alone (temperature 1), those of a detector from the labels too
    (:mod:`nasdet.training.distillation`), all at the size of the first.

    Args:
        model: A supernet of classifiers or one-stage detectors, possibly wrapped for distributed training.
        space: Says which part of a genotype each searched module takes.
        children: Genotypes by name, the largest first.
        batch: Of the data loader.
        optim_wrapper: mmengine's.

    Returns:
        The loss of each child by its name, and their sum as ``loss``.
    """
    child_loss = child_loss_of(model)
    set_path(model, space, next(iter(children.values())))       # a detector's first child says the size of the images
    batch = unwrapped(model).data_preprocessor(batch, True)
    losses: dict[str, Tensor] = {}
    teacher = None
    for name, genotype in children.items():
        set_path(model, space, genotype)
        with optim_wrapper.optim_context(model):
            loss, own = child_loss(model, batch, teacher)
        teacher = own if teacher is None else teacher
        optim_wrapper.backward(loss)
        losses[name] = loss.detach()
    optim_wrapper.step()
    optim_wrapper.zero_grad()
    return dict(loss=sum(losses.values()), **losses)


def check_sandwich(space, model: Union[Mapping, nn.Module]) -> None:
    """Refuse a space without extremes, or a model that cannot be distilled.

    Args:
        space: Draws genotypes.
        model: A supernet, possibly wrapped for distributed training, or its config.

    Raises:
        ValueError: One of these.
    """
    for method in ('smallest', 'largest'):
        if not space.can(method):
            raise ValueError(f'the sandwich rule trains the smallest and the largest child, and {space.name} has no '
                             f'{method}(): train one path an iteration, or take an ElasticSpace')
    child_loss_of(build_on_meta(model) if isinstance(model, Mapping) else model)
