"""Single-path training of a supernet: one uniformly drawn path an iteration.

Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020, arXiv:1904.00420,
section 3.2.
"""

from typing import Mapping, Optional, Union

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor, nn

from nasdet.genotype import Genotype
from nasdet.randomness import PATHS, generator
from nasdet.registry import SPACES, build


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


def extracted_state(model: nn.Module, value: Mapping) -> dict[str, Tensor]:
    """Return the state of a genotype's own detector: what is searched extracted, the rest as it is.

    Args:
        model: A supernet.
        value: Plain value of a genotype.
    """
    searched = searched_modules(model)
    inside = tuple(f'{name}.' for name in searched)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
    for name, module in searched.items():
        extracted = module.extract(value).state_dict()
        state.update({f'{name}.{inner}': tensor for inner, tensor in extracted.items()})
    return state


@HOOKS.register_module()
class PathSamplingHook(Hook):
    """Sets a path of the supernet before each training iteration.

    The path follows from (seed, iteration) alone: all ranks train the same one, and a resumed training goes on with
    the same sequence.

    Args:
        space: The space that draws genotypes, or its config.
        seed: Of the sequence; None takes the Runner's.
    """

    def __init__(self, space: Union[Mapping, object], seed: Optional[int] = None):
        self.space = build(SPACES, space) if isinstance(space, Mapping) else space
        self.seed = seed

    def path(self, seed: int, iteration: int) -> Genotype:
        """Return the genotype trained in an iteration."""
        return self.space.sample(generator(seed, iteration, PATHS))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set the iteration's path on every searched module."""
        seed = runner.seed if self.seed is None else self.seed
        value = self.path(seed, runner.iter).plain()
        for module in searched_modules(runner.model).values():
            module.set_path(value)
