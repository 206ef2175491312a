"""What spaces know of MMDetection's detector configs: widths and strides, from the backbone to the heads."""

import copy
import inspect
from contextlib import contextmanager
from traceback import extract_tb
from typing import Any, Iterator, Mapping, Optional, Sequence

from mmengine.config import ConfigDict

PROBE = 512         # input side in pixels, from which strides are read
DENSE_HEADS = ('bbox_head', 'rpn_head', 'mask_head')      # heads of a detector that read the neck themselves
ROI_HEADS = (('bbox_roi_extractor', 'bbox_head'), ('mask_roi_extractor', 'mask_head'))


def backbone_channels(backbone: Mapping) -> list[int]:
    """Return the channels of each map of a backbone, finest first; built once on the meta device."""
    return [shape[0] for shape in _probe(backbone)]


def backbone_strides(backbone: Mapping) -> list[int]:
    """Return the stride in pixels of each map of a backbone, finest first."""
    return [round(PROBE / shape[1]) for shape in _probe(backbone)]


def neck_strides(model: Mapping) -> list[int]:
    """Return the stride of each output of a detector's neck.

    Args:
        model: Model config whose neck has ``num_outs`` (or ``levels``) and perhaps ``start_level``, as mmdet's
            pyramids and ours; any other neck is taken to keep the backbone's strides.
    """
    neck = _listed(model['neck'])[0]  # further ones, as DyHead, keep the strides of the first
    strides = backbone_strides(model['backbone'])[neck.get('start_level', 0):]
    outputs = neck.get('num_outs') or _default(neck['type'], ['num_outs']) or len(neck.get('levels', strides))
    while len(strides) < outputs:
        strides.append(strides[-1] * 2)
    return strides[:outputs]


def neck_width_to_heads(model: Mapping, width: int) -> ConfigDict:
    """Return a copy of a model config whose heads read a neck of another width.

    Args:
        model: A detector's model config; it is not changed.
        width: Channels of every output of the neck.
    """
    model = ConfigDict(copy.deepcopy(model))
    for name in DENSE_HEADS:
        for head in _listed(model.get(name)):
            if 'in_channels' in head:
                head['in_channels'] = width
    roi_head = model.get('roi_head') or {}
    for extractor_name, head_name in ROI_HEADS:
        for extractor in _listed(roi_head.get(extractor_name)):
            extractor['out_channels'] = width
        for head in _listed(roi_head.get(head_name)):
            if 'in_channels' in head and not roi_head.get('shared_head'):
                head['in_channels'] = width
    return model


def check(model: Mapping) -> None:
    """Refuse a detector whose heads expect other strides than its neck gives, which would train on wrong places.

    Args:
        model: A detector's model config (RetinaNet, FCOS, Faster R-CNN and their kin).

    Raises:
        ValueError: Says which head expects what.
    """
    strides = neck_strides(model)
    for name in ('bbox_head', 'rpn_head'):
        for head in _listed(model.get(name)):
            expected = _head_strides(head)
            if expected is not None and expected != strides:
                raise ValueError(_mismatch(strides, f'{name} ({head["type"]})', expected))
    roi_head = model.get('roi_head') or {}
    for extractor_name, _ in ROI_HEADS:
        for extractor in _listed(roi_head.get(extractor_name)):
            expected = list(extractor['featmap_strides'])
            if expected != strides[:len(expected)]:
                raise ValueError(_mismatch(strides, f'roi_head.{extractor_name}', expected))


def check_channels(model: Mapping) -> None:
    """Refuse a detector that cannot be built, or whose channels do not fit; no weights are made.

    Args:
        model: A detector's model config, a genotype applied.

    Raises:
        ValueError: Says what building it said, or which layer is given other channels than its own.
    """
    from nasdet.models import meta  # brings torch and mmdet
    with _in_one_sentence('the detector with a neck of this space'):
        built = meta.build_on_meta(model)
    meta.check_channels(built, (3, PROBE, PROBE))


@contextmanager
def _in_one_sentence(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:      # noqa: BLE001 - a module of any library may raise anything
        raise ValueError(f'{what} cannot be built ({type(error).__name__}: {_first_line(error)})') from error


def _first_line(error: Exception) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)   # a KeyError shows its repr
    return text.strip().partition('\n')[0] or extract_tb(error.__traceback__)[-1].line  # a bare assert says nothing


def _probe(backbone: Mapping) -> list[tuple[int, int, int]]:
    from nasdet.models.meta import output_shapes  # brings torch and mmdet
    with _in_one_sentence(f'the backbone {backbone.get("type")}'):
        return output_shapes(backbone, (3, PROBE, PROBE))


def _listed(part: Any) -> list:
    """Return a config entry as a list: cascades have one head a stage, most detectors one."""
    return list(part) if isinstance(part, (list, tuple)) else [part] if part else []


def _head_strides(head: Mapping) -> Optional[list[int]]:
    """Return the strides that a dense head places its anchors or points at; None where it says none."""
    for source in (head.get('anchor_generator') or {}, head.get('prior_generator') or {}):
        if 'strides' in source:
            return _sides(source['strides'])
    arguments = ('strides', 'point_strides')
    given = [head[argument] for argument in arguments if argument in head]
    strides = given[0] if given else _default(head['type'], arguments)
    return None if strides is None else _sides(strides)


def _default(name: Any, arguments: Sequence[str]) -> Optional[Any]:
    """Return the first default of any of the arguments, in a class of that name or the bases that it passes them to."""
    from mmdet.registry import MODELS
    cls = name if isinstance(name, type) else MODELS.get(name)
    for base in inspect.getmro(cls) if cls else ():
        parameters = inspect.signature(base.__init__).parameters
        found = [parameters[argument].default for argument in arguments if argument in parameters]
        if found:
            return None if found[0] is inspect.Parameter.empty else found[0]
    return None


def _sides(strides) -> list[int]:
    return [stride[0] if isinstance(stride, (list, tuple)) else stride for stride in strides]


def _mismatch(strides: list[int], where: str, expected: list[int]) -> str:
    return (f'the neck gives maps of the strides {strides}, but {where} expects {expected}: change the levels of the '
            f'space, or the strides in the config of that head')
