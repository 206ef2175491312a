"""What a model config's data_preprocessor feeds to the network, and what a genotype's weights expect."""

import warnings
from typing import Mapping

from nasdet.models.genotypes import genotype_value

RAW = dict(mean=[0, 0, 0], std=[1, 1, 1])       # what a data_preprocessor without mean and std leaves


def preprocessor_for(model: Mapping, wanted: Mapping) -> dict:
    """Return the settings with which a model's data_preprocessor gives the network what it wants.

    Args:
        model: A detector's or a classifier's model config.
        wanted: ``channels`` (``'bgr'`` or ``'rgb'``), ``mean`` and ``std``.
    """
    images = _channels_of_images(model)
    return dict(mean=list(wanted['mean']), std=list(wanted['std']),
                bgr_to_rgb=images == 'bgr' and wanted['channels'] == 'rgb',
                rgb_to_bgr=images == 'rgb' and wanted['channels'] == 'bgr')


def check_input(model: Mapping) -> None:
    """Warn where a backbone's genotype says that it reads another input than the data_preprocessor gives.

    With another order of channels or another normalisation than their own, weights detect next to nothing
    (megvii-model/DetNAS, issue 16, is such a case).

    Args:
        model: A detector's or a classifier's model config. Without a data_preprocessor, or with a genotype that says
            nothing of its input, there is nothing to compare.
    """
    backbone, preprocessor = model.get('backbone') or {}, model.get('data_preprocessor')
    genotype = genotype_value(backbone.get('genotype') or {})
    wanted = genotype.get('input') if isinstance(genotype, Mapping) else None
    if preprocessor is None or not isinstance(wanted, Mapping):
        return
    given = _given(model, preprocessor)
    if given != dict(wanted):
        warnings.warn(f'the genotype of {backbone.get("type")} reads {_shown(wanted)}, but data_preprocessor gives '
                      f'{_shown(given)}: weights that expect the former detect next to nothing so; change '
                      f"data_preprocessor, or paste the genotype's value with input='detector' where it is trained "
                      f'from scratch', stacklevel=2)


def _given(model: Mapping, preprocessor: Mapping) -> dict:
    channels = _channels_of_images(model)
    if preprocessor.get('bgr_to_rgb') or preprocessor.get('rgb_to_bgr'):
        channels = 'rgb' if channels == 'bgr' else 'bgr'
    return dict(channels=channels, **{name: list(preprocessor.get(name) or raw) for name, raw in RAW.items()})


def _channels_of_images(model: Mapping) -> str:
    """Return the order in which images are read: MMDetection's pipelines give BGR, labelled images are RGB."""
    return 'rgb' if model.get('type') == 'ImageClassifier' else 'bgr'


def _shown(reading: Mapping) -> str:
    return f'{reading["channels"].upper()} with mean {list(reading["mean"])} and std {list(reading["std"])}'
