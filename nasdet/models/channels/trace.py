"""The channel-dependency graph of any detector or classifier, traced on the meta device."""

from dataclasses import replace
from functools import partial
from typing import Any, Callable, Optional, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from nasdet.models.channels.graph import ChannelGraph, resolve
from nasdet.models.channels.running import run_network
from nasdet.models.channels.tracing import ChannelTracer
from nasdet.models.meta import Shape, run_on_meta

LAYERS = (_ConvNd, nn.Linear, _BatchNorm, nn.GroupNorm)
PROPOSALS, DETECTIONS = 1000, 100       # of an image, where a detector does not say


def trace_channels(model: nn.Module, input_shape: Shape,
                   forward: Optional[Callable[[nn.Module, Tensor], Any]] = None) -> ChannelGraph:
    """Run a network once on shapes alone, and return which of its channels belong together.

    Of a detector run backbone, neck, dense heads and, on one region, the heads behind a RoI extractor; the extractor's
    place is taken by a sum over its maps, which ties their channels as the extractor does. Box heads are counted as
    often as ``test_cfg.rpn.max_per_img`` says (else 1,000 times), mask heads as ``test_cfg.rcnn.max_per_img`` does
    (else 100 times).

    Args:
        model: The network, on any device; it is left as it was.
        input_shape: (C, H, W) of an image.
        forward: Called with the model and an image (1, C, H, W) on the meta device; returns what the network gives,
            or a part of it in nested lists, tuples and dicts. None: as said above.

    Returns:
        The graph, in which everything that ``forward`` returned is fixed.

    Raises:
        ValueError: A layer of the model did not run.
    """
    names = {module: name for name, module in model.named_modules()}
    tracer = ChannelTracer(names)
    hooks = [hook for module in names for hook in (module.register_forward_pre_hook(tracer.enter),
                                                   module.register_forward_hook(tracer.leave))]
    try:
        run_on_meta(_Traced(model, tracer, forward), input_shape)
    finally:
        for hook in hooks:
            hook.remove()
    for module, name in names.items():
        if isinstance(module, LAYERS) and module not in tracer.called:
            raise ValueError(f'{name} did not run in the forward pass of this {type(model).__name__}, so it is unknown '
                             f'which channels it reads: give trace_channels a forward that runs it')
    layers = {name: replace(layer, calls=tuple(call.times(_regions(model, name)) for call in layer.calls))
              for name, layer in tracer.layers.items()}
    traffic = [(numbers, elements * _regions(model, name)) for name, numbers, elements in tracer.traffic]
    return resolve(layers, tracer.atoms, tracer.ties, tuple(tracer.stops), traffic)


def _regions(model: nn.Module, name: str) -> int:
    """Return how many regions of an image a module of a network runs on; 1 where it runs on the image."""
    if not name.startswith('roi_head.'):
        return 1
    stage, number = ('rcnn', DETECTIONS) if name.startswith('roi_head.mask_') else ('rpn', PROPOSALS)
    settings = (getattr(model, 'test_cfg', None) or {}).get(stage) or {}
    return settings.get('max_per_img', number)


class _Traced(nn.Module):
    """A network with its input and output fixed, as :func:`run_on_meta` takes it."""

    def __init__(self, model: nn.Module, tracer: ChannelTracer, forward: Optional[Callable]):
        super().__init__()
        self.model = model
        self.tracer = tracer
        self.run = forward or partial(run_network, regions_of=self._stand_in)

    def forward(self, image: Tensor) -> None:
        self.tracer.fix(image)
        with self.tracer:
            outputs = self.run(self.model, image)
        self.tracer.fix(outputs)

    def _stand_in(self, extractor: nn.Module, maps: Sequence[Tensor]) -> Tensor:
        """Return a region that ties the channels of all maps, in the place of what an extractor gives."""
        size = extractor.roi_layers[0].output_size
        self.tracer.counting = False        # the sum moves more than the extractor does
        regions = sum(F.adaptive_avg_pool2d(level, size) for level in maps)
        self.tracer.counting = True
        self.tracer.carry(self.tracer.names[extractor], regions)
        return regions
