"""Another input resolution for a detector's data pipelines."""

from typing import Any, Iterator, Mapping

from mmengine.config import Config

SIZED = {       # transforms that hold pixels, and under which names
    'Resize': ('scale',), 'RandomResize': ('scale',), 'RandomChoiceResize': ('scales',), 'FixScaleResize': ('scale',),
    'Pad': ('size',), 'RandomCrop': ('crop_size',),
}
SIZELESS = {    # transforms that mean the same at any resolution
    'LoadImageFromFile', 'LoadAnnotations', 'RandomFlip', 'PackDetInputs', 'PhotoMetricDistortion', 'Expand',
    'MinIoURandomCrop', 'YOLOXHSVRandomAug', 'FilterAnnotations', 'RandomErasing', 'CutOut', 'ColorTransform',
}
SPLITS = ('train_dataloader', 'val_dataloader')


def set_resolution(config: Config, side: int) -> None:
    """Rewrite the search-train and search-val pipelines so that evaluated images have a longer side of ``side``.

    Every size in pixels of both pipelines is multiplied by the same factor: ``side`` over the larger number of the
    ``scale`` of the search-val pipeline's ``Resize``. Aspect ratios and multi-scale ranges so stay as they are.

    Args:
        config: With ``train_dataloader`` and ``val_dataloader``; changed in place.
        side: Pixels.

    Raises:
        ValueError: A transform whose sizes are not known here, no ``Resize`` in the search-val pipeline, or batch
            augmentations that resize.
    """
    augments = config.model.get('data_preprocessor', {}).get('batch_augments') or []
    if augments:
        raise ValueError(f'resolution={side}: data_preprocessor.batch_augments ({augments[0]["type"]}) has sizes of '
                         f'its own: remove it')
    resizes = [step for step in steps(config.val_dataloader.dataset) if step['type'] in ('Resize', 'FixScaleResize')]
    if not resizes or not isinstance(resizes[0].get('scale'), (tuple, list)):
        raise ValueError(f'resolution={side}: the pipeline of val_dataloader has no Resize with scale=(width, height)')
    factor = side / max(resizes[0]['scale'])
    for split in SPLITS:
        for step in steps(config[split].dataset):
            _scale_step(step, factor, split)


def steps(dataset: Mapping) -> Iterator[dict]:
    """Yield the transforms of a dataset config, those of wrapped datasets first, alternatives included."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for wrapped in inner:
        yield from steps(wrapped)
    for step in dataset.get('pipeline') or []:
        yield from _flatten(step)


def _flatten(step: Mapping) -> Iterator[dict]:
    if step['type'] != 'RandomChoice':
        yield step
        return
    for alternative in step['transforms']:
        for inner in alternative:
            yield from _flatten(inner)


def _scale_step(step: dict, factor: float, split: str) -> None:
    kind = step['type']
    if kind in SIZELESS:
        return
    if kind not in SIZED:
        raise ValueError(f'the resolution of {split} cannot be changed: what sizes its transform {kind!r} holds is not '
                         f'known; known are {", ".join(sorted(SIZED | dict.fromkeys(SIZELESS)))}')
    if step.get('crop_type', 'absolute').startswith('relative'):
        return
    for name in SIZED[kind]:
        if step.get(name) is not None:
            step[name] = _scale(step[name], factor)


def _scale(size: Any, factor: float) -> Any:
    if isinstance(size, (tuple, list)):
        return type(size)(_scale(item, factor) for item in size)
    return max(round(size * factor), 1)
