"""The backbone of a trained classifier, made ready for a detector."""

import copy
from typing import Mapping

from mmengine.config import ConfigDict

from nasdet.spaces.detector import backbone_channels
from nasdet.spaces.detector import check as check_strides

# Of backbones that classify by themselves, such as DetNASNet and CellNetwork.
HEAD_ARGUMENTS = ('head', 'num_classes', 'dropout', 'fc_bias', 'auxiliary', 'auxiliary_head')


def backbone_to_detector(classifier: Mapping, checkpoint: str, detector: Mapping, **options) -> ConfigDict:
    """Put the backbone of a trained classifier into a detector, together with the input that it was trained on.

    The detector's ``out_indices`` are kept, a head of the backbone's own is left out, and everything else about it is
    the classifier's. The neck's ``in_channels`` become the channels of the new backbone.

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
        ValueError: The classifier does not say how its input is normalised, or the detector's heads expect maps of
            other strides than those of the backbone, such as one with a stem for small images.
    """
    preprocessor = classifier.get('data_preprocessor') or {}
    missing = {'mean', 'std'} - preprocessor.keys()
    if missing:
        raise ValueError(f'the classifier has no {" and no ".join(sorted(missing))} in its data_preprocessor: add what '
                         f'it was trained with, the detector needs the same input')
    backbone = {name: value for name, value in copy.deepcopy(dict(classifier['backbone'])).items()
                if name not in HEAD_ARGUMENTS}
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
    check_strides(model)
    return ConfigDict(model)


def _detection_input(classification: Mapping, detection: Mapping) -> dict:
    """Return the detector's preprocessor with the classifier's normalisation and channel order."""
    swapped = classification.get('rgb_to_bgr', False) or classification.get('bgr_to_rgb', False)
    return {**detection, 'mean': classification['mean'], 'std': classification['std'],
            'bgr_to_rgb': not swapped, 'rgb_to_bgr': False}
