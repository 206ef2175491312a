"""The channel-dependency graph of any detector or classifier, traced on the meta device."""

from dataclasses import replace
from typing import Any, Callable, Iterator, Optional

import torch.nn.functional as F
from mmdet.models.detectors.base import BaseDetector
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from nasdet.models.channels.graph import ChannelGraph, resolve
from nasdet.models.channels.tracing import ChannelTracer
from nasdet.models.meta import Shape, run_on_meta

LAYERS = (_ConvNd, nn.Linear, _BatchNorm, nn.GroupNorm)


def trace_channels(model: nn.Module, input_shape: Shape, regions: int = 1000,
                   forward: Optional[Callable[[nn.Module, Tensor], Any]] = None) -> ChannelGraph:
    """Run a network once on shapes alone, and return which of its channels belong together.

    Of a detector run backbone, neck, dense heads and, on one region, the heads behind a RoI extractor; the extractor's
    place is taken by a sum over its maps, which ties their channels as the extractor does.

    Args:
        model: The network, on any device; it is left as it was.
        input_shape: (C, H, W) of an image.
        regions: Regions that the heads behind a RoI extractor see in an image, for the multiply-adds.
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
    layers = {name: replace(layer, macs=layer.macs * regions) if name.startswith('roi_head.') else layer
              for name, layer in tracer.layers.items()}
    return resolve(layers, tracer.atoms, tracer.ties, tuple(tracer.stops))


class _Traced(nn.Module):
    """A network with its input and output fixed, as :func:`run_on_meta` takes it."""

    def __init__(self, model: nn.Module, tracer: ChannelTracer, forward: Optional[Callable]):
        super().__init__()
        self.model = model
        self.tracer = tracer
        self.run = forward or self._run_default

    def forward(self, image: Tensor) -> None:
        self.tracer.fix(image)
        with self.tracer:
            outputs = self.run(self.model, image)
        self.tracer.fix(outputs)

    def _run_default(self, model: nn.Module, image: Tensor) -> Any:
        return self._run_detector(model, image) if isinstance(model, BaseDetector) else model(image)

    def _run_detector(self, detector: nn.Module, image: Tensor) -> list:
        maps = detector.extract_feat(image)
        heads = [getattr(detector, name, None) for name in ('rpn_head', 'bbox_head', 'mask_head')]
        outputs = [head(maps) for head in heads if head is not None]
        roi_head = getattr(detector, 'roi_head', None)
        for extractor, head in _region_heads(roi_head) if roi_head is not None else ():
            size = extractor.roi_layers[0].output_size
            regions = sum(F.adaptive_avg_pool2d(level, size) for level in maps[:extractor.num_inputs])
            self.tracer.carry(self.tracer.names[extractor], regions)
            if getattr(roi_head, 'with_shared_head', False):
                regions = roi_head.shared_head(regions)
            outputs.append(head(regions))
        return outputs


def _region_heads(roi_head: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Yield each head behind regions with the extractor it reads; cascades have one a stage."""
    for kind in ('bbox', 'mask'):
        heads = getattr(roi_head, f'{kind}_head', None)
        if heads is None:
            continue
        extractors = getattr(roi_head, f'{kind}_roi_extractor', None) or roi_head.bbox_roi_extractor
        if isinstance(heads, nn.ModuleList):
            yield from zip(extractors, heads, strict=True)
        else:
            yield extractors, heads
