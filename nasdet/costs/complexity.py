"""Multiply-adds and parameters, counted on the meta device: no memory, no arithmetic."""

from functools import partial
from typing import Iterable, Mapping, Optional, Sequence, Union

import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from nasdet.costs.base import Cost
from nasdet.genotype import Genotype
from nasdet.models.meta import build_on_meta, output_shapes, run_on_meta
from nasdet.models.resized_input import input_shape_of
from nasdet.registry import COSTS
from nasdet.spaces.base import Space

Shape = tuple[int, int, int]
PER_OUTPUT = (F.conv1d, F.conv2d, F.conv3d, F.linear)       # one weight filter for each element of the output
PER_INPUT = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
SCOPES = ('neck', 'backbone', 'model')


def count(module: nn.Module, input_shape: Union[Shape, Sequence[Shape]]) -> dict[str, int]:
    """Count what a network computes for one image, and its parameters.

    Multiply-adds of convolutions, transposed ones too, and linear layers count, each time that one runs (a head shared
    by the levels of a pyramid: at every level); biases, normalisation, pooling and resampling do not. The module runs
    in evaluation mode and is left as it was.

    Args:
        module: Any network that takes one batch of images, or a tuple of maps.
        input_shape: (C, H, W) of an image, or a list of them, one a map.

    Returns:
        ``macs``, and ``params``: all parameters, shared and frozen ones once.
    """
    counter = _Counter()
    with counter:
        run_on_meta(module, input_shape)
    return dict(macs=counter.macs, params=_parameters(module))


def count_modules(module: nn.Module, input_shape: Union[Shape, Sequence[Shape]],
                  names: Iterable[str]) -> dict[str, int]:
    """Count the multiply-adds of some submodules for one image, as :func:`count` counts those of the whole.

    Args:
        module: Any network that takes one batch of images, or a tuple of maps.
        input_shape: (C, H, W) of an image, or a list of them, one a map.
        names: Dotted names of submodules; ``''`` is the network itself.

    Returns:
        The multiply-adds by name.
    """
    counter, macs = _Counter(), dict.fromkeys(names, 0)
    handles = []
    for name in macs:
        part = module.get_submodule(name)
        handles.append(part.register_forward_pre_hook(partial(_add_macs, macs, name, counter, -1)))
        handles.append(part.register_forward_hook(partial(_add_macs, macs, name, counter, 1)))
    try:
        with counter:
            run_on_meta(module, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    return macs


def _add_macs(macs: dict[str, int], name: str, counter: '_Counter', sign: int, *_) -> None:
    """Add what has been counted when a submodule ends, less what had been when it began."""
    macs[name] += sign * counter.macs


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class _Counter(TorchFunctionMode):
    """Sees every call of a torch function, and adds up the multiply-adds of those that have weights."""

    def __init__(self):
        super().__init__()
        self.macs = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in PER_OUTPUT + PER_INPUT:
            weight = args[1] if len(args) > 1 else kwargs['weight']
            source = args[0] if args else kwargs['input']
            elements = result.numel() if func in PER_OUTPUT else source.numel()
            self.macs += elements * weight[0].numel()
        return result


@COSTS.register_module()
class Macs(Cost):
    """Multiply-adds of one image through a part of the detector, as :func:`count` counts them.

    Args:
        space: The space that applies genotypes.
        model: The detector's model config.
        limit: The largest number allowed; None only reports.
        scope: ``'neck'``, ``'backbone'`` or ``'model'`` (backbone, neck and dense head).
        input_shape: (C, H, W) of the image as the data pipeline gives it, whatever the scope.
    """

    unit = 'MACs'

    def __init__(self, space: Space, model: Optional[Mapping] = None, limit: Optional[float] = None,
                 scope: str = 'model', input_shape: Sequence[int] = (3, 640, 640)):
        super().__init__(space, model, limit, scope)
        self.input_shape = tuple(input_shape)
        check_scope(scope, model)
        if scope == 'model' and 'roi_head' in model:
            raise ValueError("Macs(scope='model') would depend on the image's proposals in a two-stage detector: count "
                             "scope='neck' or scope='backbone'")

    def __call__(self, genotype: Genotype) -> float:
        """Return the multiply-adds."""
        return float(count(*self._network(genotype))['macs'])

    def _network(self, genotype: Genotype) -> tuple[nn.Module, Union[Shape, Sequence[Shape]]]:
        """Return the part of the detector that is counted, and the shape of what it takes."""
        model = self.space.apply(genotype, self.model)
        shape = input_shape_of(model, self.input_shape)
        return _build(model, self.scope), output_shapes(model['backbone'], shape) if self.scope == 'neck' else shape


@COSTS.register_module()
class Params(Cost):
    """All parameters of a part of the detector, frozen ones too, shared ones once.

    Args:
        space: The space that applies genotypes.
        model: The detector's model config.
        limit: The largest number allowed; None only reports.
        scope: ``'neck'``, ``'backbone'`` or ``'model'``.
    """

    unit = 'parameters'

    def __init__(self, space: Space, model: Optional[Mapping] = None, limit: Optional[float] = None,
                 scope: str = 'model'):
        super().__init__(space, model, limit, scope)
        check_scope(scope, model)

    def __call__(self, genotype: Genotype) -> float:
        """Return the number of parameters."""
        return float(_parameters(_build(self.space.apply(genotype, self.model), self.scope)))


def check_scope(scope: str, model: Optional[Mapping]) -> None:
    """Raise ValueError unless a scope is known and there is a model to look at."""
    if scope not in SCOPES:
        raise ValueError(f'the scope of a cost is one of {SCOPES}, not {scope!r}')
    if not model:
        raise ValueError('this cost counts a network, and the config has no model')


def _build(model: Mapping, scope: str) -> nn.Module:
    return build_on_meta(model if scope == 'model' else model[scope])
