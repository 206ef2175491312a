"""Runs all layers of a detector or a classifier once, the heads behind regions too."""

from typing import Any, Callable, Iterator, Sequence

from mmdet.models.detectors.base import BaseDetector
from torch import Tensor, nn

RegionsOf = Callable[[nn.Module, Sequence[Tensor]], Tensor]     # an extractor, the maps it may read -> regions


def run_network(model: nn.Module, images: Tensor, regions_of: RegionsOf) -> Any:
    """Return what a network gives: of a detector what each of its heads does.

    Args:
        model: A detector, of which backbone, neck, dense heads and the heads behind a RoI extractor run; or any network
            that takes images.
        images: (N, C, H, W).
        regions_of: Gives the regions (R, C, h, w) that the heads behind an extractor read.
    """
    if not isinstance(model, BaseDetector):
        return model(images)
    maps = model.extract_feat(images)
    heads = [getattr(model, name, None) for name in ('rpn_head', 'bbox_head', 'mask_head')]
    outputs = [head(maps) for head in heads if head is not None]
    roi_head = getattr(model, 'roi_head', None)
    for extractor, head in _region_heads(roi_head) if roi_head is not None else ():
        regions = regions_of(extractor, maps[:extractor.num_inputs])
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
