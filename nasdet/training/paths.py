"""Single-path training of a supernet: one path an iteration, drawn uniformly or so that its cost is.

Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, arXiv:1904.00420,
section 3.2.
"""

from itertools import pairwise
from typing import Callable, Mapping, Optional, Sequence, Union

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import Tensor, nn

from nasdet.genotype import Genotype
from nasdet.randomness import PATHS, generator
from nasdet.registry import COSTS, PATH_SAMPLERS, SPACES, build


def searched_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the searched parts of a supernet: its outermost modules that have ``set_path``.

    Args:
        model: A supernet, possibly wrapped for distributed training.

    Returns:
        Modules by their dotted name in ``model``.

    Raises:
        ValueError: There is none.
    """
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(outer == '' or name.startswith(f'{outer}.') for outer in found)
        if callable(getattr(module, 'set_path', None)) and not inside:
            found[name] = module
    if not found:
        raise ValueError(f'{type(model).__name__} is no supernet: no module of it has set_path')
    return found


def set_path(model: nn.Module, space, genotype: Genotype) -> None:
    """Have a supernet run a genotype.

    Args:
        model: The supernet, possibly wrapped for distributed training.
        space: Says which part of the genotype each searched module takes.
        genotype: Of the space.
    """
    for name, module in searched_modules(model.module if is_model_wrapper(model) else model).items():
        module.set_path(space.path(genotype, name))


def extracted_state(model: nn.Module, space, genotype: Genotype) -> dict[str, Tensor]:
    """Return the state of a genotype's own network: what is searched extracted, the rest as it is.

    Args:
        model: A supernet.
        space: Says which part of the genotype each searched module takes.
        genotype: Of the space.
    """
    searched = searched_modules(model)
    inside = tuple(f'{name}.' for name in searched)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
    for name, module in searched.items():
        extracted = module.extract(space.path(genotype, name)).state_dict()
        state.update({f'{name}.{inner}': tensor for inner, tensor in extracted.items()})
    return state


@PATH_SAMPLERS.register_module()
class BinnedPaths:
    """Draws paths whose costs are spread evenly over bins, where uniform paths nearly all have a middling cost.

    A bin is drawn uniformly, then uniform paths until one lies in it; after ``tries`` of them, whatever comes next.
    So the authors of Single Path One-Shot train their supernet (github.com/megvii-model/SinglePathOneShot), with seven
    bins of 10M from 290M to 360M.

    Args:
        space: Draws genotypes.
        cost: The config of a cost, or one that is built.
        edges: Ascending; a bin reaches from one up to, but not including, the next.
        tries: Paths drawn for one bin.
        model: The model config that the cost counts in.

    Raises:
        ValueError: Fewer than two edges, edges that do not ascend, or, of a cost that knows its distribution, a bin
            in which no path lies.
    """

    def __init__(self, space, cost, edges: Sequence[float], tries: int = 500, model: Optional[Mapping] = None):
        self.space = space
        self.cost = build(COSTS, cost, space=space, model=model) if isinstance(cost, Mapping) else cost
        self.edges, self.tries = tuple(edges), tries
        if len(self.edges) < 2 or any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f'BinnedPaths: edges are two or more ascending numbers, not {list(edges)}')
        distribution = self.cost.distribution
        for low, high in pairwise(self.edges):
            if distribution is not None and distribution.share_between(low, high) == 0:
                raise ValueError(f'BinnedPaths: no path of {space.name} has from {low:,} up to {high:,} '
                                 f'{self.cost.unit} of {self.cost.name}, whose range is {distribution.least:,} to '
                                 f'{distribution.most:,}: change edges')

    def __call__(self, rng: np.random.Generator) -> Genotype:
        """Return the genotype that a source of chance draws."""
        bin_number = rng.integers(len(self.edges) - 1)
        low, high = self.edges[bin_number:bin_number + 2]
        for _ in range(self.tries):
            genotype = self.space.sample(rng)
            if low <= self.cost(genotype) < high:
                return genotype
        return self.space.sample(rng)


def sequence_seed(runner, seed: Optional[int]) -> int:
    """Return the seed that paths follow from, the same on all ranks.

    Args:
        runner: mmengine's.
        seed: None takes the Runner's.

    Raises:
        ValueError: The Runner's seeds differ from rank to rank.
    """
    if seed is not None:
        return seed
    if (runner.cfg.get('randomness') or {}).get('diff_rank_seed'):
        raise ValueError('randomness.diff_rank_seed=True gives each rank a seed of its own, so that each would train '
                         'another path: leave it out of the config, or give the hook or loop that draws paths a seed')
    return runner.seed


def build_sampler(sampling: Optional[Mapping], space, model: Optional[Mapping]) -> Callable:
    """Return what draws paths, given a source of chance.

    Args:
        sampling: Config of a path sampler, such as :class:`BinnedPaths`; None: each decision uniformly.
        space: Draws genotypes.
        model: The model config that a cost counts in.
    """
    return space.sample if sampling is None else build(PATH_SAMPLERS, sampling, space=space, model=model)


@HOOKS.register_module()
class PathSamplingHook(Hook):
    """Sets a path of the supernet before each training iteration.

    The path follows from (seed, iteration) alone: all ranks train the same one, and a resumed training goes on with
    the same sequence.

    Args:
        space: The space that draws genotypes, or its config.
        seed: Of the sequence; None takes the Runner's.
        sampling: How paths are drawn, such as ``dict(type='BinnedPaths', cost=..., edges=...)``; None: uniformly.
    """

    def __init__(self, space: Union[Mapping, object], seed: Optional[int] = None, sampling: Optional[Mapping] = None):
        self.space = build(SPACES, space) if isinstance(space, Mapping) else space
        self.seed = seed
        self.sampling = sampling
        self.draw = self.space.sample if sampling is None else None     # a cost needs the Runner's model first

    def path(self, seed: int, iteration: int) -> Genotype:
        """Return the genotype trained in an iteration."""
        return self.draw(generator(seed, iteration, PATHS))

    def before_train(self, runner) -> None:
        """Build what draws the paths, with costs as they are in the Runner's model.

        Raises:
            ValueError: Ranks would train different paths.
        """
        sequence_seed(runner, self.seed)
        self.draw = build_sampler(self.sampling, self.space, runner.cfg.get('model'))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set the iteration's path on every searched module."""
        set_path(runner.model, self.space, self.path(sequence_seed(runner, self.seed), runner.iter))
