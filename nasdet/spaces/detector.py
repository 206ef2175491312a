"""What spaces know of MMDetection's detector configs: how a neck fits between a backbone and its heads."""

import copy
from contextlib import contextmanager
from traceback import extract_tb
from typing import Iterator, Mapping, Optional, Sequence

from mmengine.config import ConfigDict

from nasdet.spaces.head_configs import arguments_of, default_of, head_strides, listed, place_generators

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
    neck = listed(model['neck'])[0]  # further ones, as DyHead, keep the strides of the first
    strides = backbone_strides(model['backbone'])[neck.get('start_level', 0):]
    outputs = neck.get('num_outs') or default_of(neck['type'], ['num_outs']) or len(neck.get('levels', strides))
    while len(strides) < outputs:
        strides.append(strides[-1] * 2)
    return strides[:outputs]


def replace_neck(model: Mapping, neck: Mapping, level: int) -> ConfigDict:
    """Return a copy of a model config with another feature pyramid, and heads that fit its width and strides.

    Of a list of necks the first is replaced and the others are kept, such as DyHead after an FPN.

    Args:
        model: A detector's model config; it is not changed.
        neck: Config of the new pyramid, without ``in_channels`` and ``start_level``.
        level: The pyramid's finest level; level l has a stride of 2 ** l pixels.

    Raises:
        ValueError: The backbone has no map of that level.
    """
    strides, finest = backbone_strides(model['backbone']), 2 ** level
    if finest not in strides:
        raise ValueError(f'level {level} has stride {finest}, but the backbone gives maps of the strides {strides}: '
                         f'change levels of the space, or out_indices of the backbone')
    fitted = neck_width_to_heads(model, neck['out_channels'])
    pyramid = ConfigDict(copy.deepcopy({**neck, 'in_channels': backbone_channels(model['backbone']),
                                        'start_level': strides.index(finest)}))
    fitted['neck'] = [pyramid, *fitted['neck'][1:]] if isinstance(fitted['neck'], (list, tuple)) else pyramid
    return neck_strides_to_heads(fitted)


def replace_backbone(model: Mapping, backbone: Mapping, channels: Sequence[int],
                     readable: Optional[Sequence[int]] = None) -> ConfigDict:
    """Return a copy of a model config with another backbone, and a neck that reads as many of its maps as before.

    A classifier has no neck: its own linear layer reads the last map, or the backbone has a head.

    Args:
        model: A detector's or a classifier's model config; it is not changed.
        backbone: Config of the new backbone; without ``out_indices`` it gives its coarsest maps.
        channels: Of each of its stages, finest first.
        readable: Those of its stages, finest first, whose maps it gives without ``out_indices``; None: all.

    Raises:
        ValueError: There is no neck, or ``out_indices`` gives it another number of maps.
    """
    fitted = ConfigDict(copy.deepcopy(model))
    reader = (listed(fitted.get('neck')) or [fitted])[0]
    number = 1 if isinstance(reader.get('in_channels', 1), int) else len(reader['in_channels'])
    readable = range(len(channels)) if readable is None else readable
    indices = tuple(backbone.get('out_indices') or readable[-number:])
    if len(indices) != number or max(indices) >= len(channels):
        raise ValueError(f'out_indices={indices} of a backbone with {len(channels)} stages, but the detector reads '
                         f'{number} maps: change out_indices or the stages of the space')
    if 'in_channels' not in reader and not backbone.get('head'):
        raise ValueError('this model config has no neck with in_channels that a space could fit to its backbone')
    fitted['backbone'] = ConfigDict(copy.deepcopy({**backbone, 'out_indices': indices}))
    return channels_to_neck(fitted, [channels[index] for index in indices])


def without_weights(backbone: Mapping) -> dict:
    """Return a backbone's config whose ``init_cfg`` loads no weights, since they are another architecture's."""
    kept = dict(backbone)
    init = kept.pop('init_cfg', None)
    others = [each for each in listed(init) if each.get('type') != 'Pretrained']
    if not others:
        return kept
    return {**kept, 'init_cfg': others if isinstance(init, (list, tuple)) else init}


def channels_to_neck(model: Mapping, channels: Sequence[int]) -> ConfigDict:
    """Return a copy of a model config whose first neck, or a classifier's last layer, reads maps of these channels."""
    model = ConfigDict(copy.deepcopy(model))
    reader = (listed(model.get('neck')) or [model])[0]
    if 'in_channels' in reader:
        reader['in_channels'] = channels[-1] if isinstance(reader['in_channels'], int) else list(channels)
    return model


def first_neck(model: Mapping) -> Mapping:
    """Return the config of the neck that reads the backbone; ValueError where the detector has none to replace."""
    necks = listed(model.get('neck'))
    if not necks:
        raise ValueError('this model config has no neck that a space of necks could replace')
    for index, neck in enumerate(necks[1:], start=1):
        if not isinstance(neck.get('in_channels'), int):
            raise ValueError(f'neck[{index}] ({neck["type"]}) has in_channels={neck.get("in_channels")}: the first of '
                             f'several necks can be replaced only where each other one reads maps of one width')
    return necks[0]


def neck_width_to_heads(model: Mapping, width: int) -> ConfigDict:
    """Return a copy of a model config whose heads, and necks after the first, read a neck of another width.

    Args:
        model: A detector's model config; it is not changed.
        width: Channels of every output of the neck.
    """
    model = ConfigDict(copy.deepcopy(model))
    for name in DENSE_HEADS:
        for head in listed(model.get(name)):
            if 'in_channels' in head:
                head['in_channels'] = width
    for neck in listed(model.get('neck'))[1:]:
        neck.update({name: width for name in ('in_channels', 'out_channels') if name in neck})
    roi_head = model.get('roi_head') or {}
    for extractor_name, head_name in ROI_HEADS:
        for extractor in listed(roi_head.get(extractor_name)):
            extractor['out_channels'] = width
        for head in listed(roi_head.get(head_name)):
            if 'in_channels' in head and not roi_head.get('shared_head'):
                head['in_channels'] = width
    return model


def neck_strides_to_heads(model: Mapping) -> ConfigDict:
    """Return a copy of a two-stage detector's model config whose RPN and RoI extractors have the neck's strides.

    - The RPN's anchors keep their ``scales``, so their sizes grow with the strides: scale 8 means anchors of 32 to 512
      pixels on levels 2 to 6 and of 64 to 1024 on levels 3 to 7; smaller ``scales`` are the user's to choose.
    - An extractor keeps its number of maps, the finest ones (four in MMDetection), and its ``finest_scale`` grows with
      their strides: a region of 224 pixels is read at stride 16 whatever the levels (Lin et al., Feature Pyramid
      Networks, equation 1).

    A one-stage head is left as it is: its strides belong to its ranges of object sizes (``regress_ranges``, anchor
    scales), so one that does not fit is for the user to change, and :func:`check` refuses it.

    Args:
        model: A detector's model config; it is not changed.
    """
    model = ConfigDict(copy.deepcopy(model))
    strides = neck_strides(model)
    for head in listed(model.get('rpn_head')):
        for generator in place_generators(head):
            generator['strides'] = list(strides)
    roi_head = model.get('roi_head') or {}
    for extractor_name, _ in ROI_HEADS:
        for extractor in listed(roi_head.get(extractor_name)):
            before, after = extractor['featmap_strides'], strides[:len(extractor['featmap_strides'])]
            finest_scale = extractor.get('finest_scale', default_of(extractor['type'], ['finest_scale']))
            if finest_scale and before[0] != after[0]:
                extractor['finest_scale'] = finest_scale * after[0] // before[0]
            extractor['featmap_strides'] = after
    return model


def head_depth_to_heads(model: Mapping, depth: int) -> ConfigDict:
    """Return a copy of a model config whose dense head has another number of convolutions before its predictions.

    Args:
        model: A detector's model config; it is not changed.
        depth: ``stacked_convs`` of a one-stage detector's ``bbox_head``, or ``num_convs`` of a two-stage one's RPN.

    Raises:
        ValueError: There is no such head, or it has no such argument.
    """
    model = ConfigDict(copy.deepcopy(model))
    name, argument = ('rpn_head', 'num_convs') if model.get('rpn_head') else ('bbox_head', 'stacked_convs')
    heads = listed(model.get(name))
    for head in heads:
        if not arguments_of(head['type'], [argument]):
            raise ValueError(f'{name} ({head["type"]}) has no argument {argument}, which a head depth sets: leave '
                             f'head_depths out of the space')
        head[argument] = depth
    if not heads:
        raise ValueError('this detector has neither bbox_head nor rpn_head, whose depth a space could set: leave '
                         'head_depths out of the space')
    return model


def check(model: Mapping) -> None:
    """Refuse a detector whose heads expect other strides than its neck gives, which would train on wrong places.

    Of a backbone whose genotype says that it reads another input than the detector gives, it warns.

    Args:
        model: A detector's model config (RetinaNet, FCOS, Faster R-CNN and their kin); of a model without a neck, such
            as a classifier, there is nothing to compare.

    Raises:
        ValueError: Says which head expects what.
    """
    from nasdet.models.preprocessing import check_input  # brings torch and mmdet
    check_input(model)
    if not model.get('neck'):
        return
    strides = neck_strides(model)
    for name in ('bbox_head', 'rpn_head'):
        for head in listed(model.get(name)):
            for expected in head_strides(head):
                if expected != strides:
                    raise ValueError(_mismatch(strides, f'{name} ({head["type"]})', expected))
    roi_head = model.get('roi_head') or {}
    for extractor_name, _ in ROI_HEADS:
        for extractor in listed(roi_head.get(extractor_name)):
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
    with _in_one_sentence('the detector with a genotype of this space'):
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


def _mismatch(strides: list[int], where: str, expected: list[int]) -> str:
    return (f'the neck gives maps of the strides {strides}, but {where} expects {expected}: change the levels or '
            f'stages of the space, or the strides in the config of that head')
