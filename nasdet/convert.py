"""Weights from elsewhere, made ready for a detector."""

import copy
from typing import Callable, Mapping

from mmengine.config import ConfigDict

from nasdet.spaces.detector import backbone_channels


def backbone_to_detector(classifier: Mapping, checkpoint: str, detector: Mapping, **options) -> ConfigDict:
    """Put the backbone of a trained classifier into a detector, together with the input that it was trained on.

    The detector's ``out_indices`` are kept; everything else about the backbone is the classifier's. The neck's
    ``in_channels`` become the channels of the new backbone.

    Args:
        classifier: Model config of an :class:`nasdet.models.classifiers.ImageClassifier`, trained on RGB images (what
            the datasets of :mod:`nasdet.datasets.classification` yield).
        checkpoint: The classifier's checkpoint, a path or URL.
        detector: Model config of any mmdet detector whose images arrive in BGR (what mmdet's pipelines yield). It is
            not changed.
        **options: Backbone arguments that detection wants otherwise, such as ``frozen_stages=1, norm_eval=True``.

    Returns:
        The detector's model config with the backbone, which loads the weights when the model is initialised, and
        with mean, standard deviation and channel order in ``data_preprocessor``.

    Raises:
        ValueError: The classifier does not say how its input is normalised.
    """
    preprocessor = classifier.get('data_preprocessor') or {}
    missing = {'mean', 'std'} - preprocessor.keys()
    if missing:
        raise ValueError(f'the classifier has no {" and no ".join(sorted(missing))} in its data_preprocessor: add what '
                         f'it was trained with, the detector needs the same input')
    backbone = dict(copy.deepcopy(classifier['backbone']))
    if 'out_indices' in detector['backbone']:
        backbone['out_indices'] = detector['backbone']['out_indices']
    backbone.update(options, init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.'))

    model = copy.deepcopy(dict(detector))
    model['backbone'] = backbone
    neck = model.get('neck')
    first = neck[0] if isinstance(neck, list) else neck
    if first and 'in_channels' in first:
        first['in_channels'] = backbone_channels(backbone)
    model['data_preprocessor'] = _detection_input(preprocessor, model.get('data_preprocessor') or {})
    return ConfigDict(model)


def _detection_input(classification: Mapping, detection: Mapping) -> dict:
    """Return the detector's preprocessor with the classifier's normalisation and channel order."""
    swapped = classification.get('rgb_to_bgr', False) or classification.get('bgr_to_rgb', False)
    return {**detection, 'mean': classification['mean'], 'std': classification['std'],
            'bgr_to_rgb': not swapped, 'rgb_to_bgr': False}


# mmdet's names for the published cells, in the genotype's order; two gp cells have no weights of their own, their
# convolution sits in the sum that adds the unused feature.
NASFPN_CELLS = ('gp_64_4', 'sum_44_4', 'sum_43_3', 'sum_34_4', 'sum_55_5', 'sum_77_7', 'gp_75_6')


def mmdet_nasfpn(state_dict: Mapping) -> dict:
    """Rename the weights of mmdet's NASFPN to those of a MergingCellFPN with the genotype ``nas_fpn_mmdet``.

    Args:
        state_dict: Of the neck alone, or of a whole detector, such as a checkpoint of mmdet's model zoo holds: then
            the names that start with ``neck.`` change, and the others stay.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name of the neck is not NASFPN's.
    """
    return _rename_neck(state_dict, _from_nasfpn)


def to_mmdet_nasfpn(state_dict: Mapping) -> dict:
    """Rename the weights of a MergingCellFPN with the genotype ``nas_fpn_mmdet`` to those of mmdet's NASFPN.

    Args:
        state_dict: Of the neck alone, or of a whole detector, as for :func:`mmdet_nasfpn`.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name of the neck is not one of such a MergingCellFPN.
    """
    return _rename_neck(state_dict, _to_nasfpn)


def _rename_neck(state_dict: Mapping, rename: Callable[[str], str]) -> dict:
    prefix = 'neck.' if any(name.startswith('neck.') for name in state_dict) else ''
    return {prefix + rename(name[len(prefix):]) if name.startswith(prefix) else name: tensor
            for name, tensor in state_dict.items()}


def _from_nasfpn(name: str) -> str:
    match name.split('.'):
        case ['lateral_convs', level, *weight]:
            return '.'.join(['inputs.laterals', level, *weight])
        case ['extra_downsamples', level, '0', *weight]:    # 0 is the convolution, 1 the pooling
            return '.'.join(['inputs.tops', level, *weight])
        case ['fpn_stages', stack, cell, 'out_conv', *weight] if cell in NASFPN_CELLS:
            return '.'.join(['stacks', stack, str(NASFPN_CELLS.index(cell)), *weight])
    raise ValueError(f'{name!r} is not a weight of mmdet.models.necks.NASFPN')


def _to_nasfpn(name: str) -> str:
    match name.split('.'):
        case ['inputs', 'laterals', level, *weight]:
            return '.'.join(['lateral_convs', level, *weight])
        case ['inputs', 'tops', level, *weight]:
            return '.'.join(['extra_downsamples', level, '0', *weight])
        case ['stacks', stack, cell, *weight] if cell in map(str, range(len(NASFPN_CELLS))):
            return '.'.join(['fpn_stages', stack, NASFPN_CELLS[int(cell)], 'out_conv', *weight])
    raise ValueError(f'{name!r} is not a weight of a MergingCellFPN with the genotype nas_fpn_mmdet')
