"""A part of a split."""

import json
from pathlib import Path
from typing import Mapping, MutableMapping, Optional

from mmengine.config import Config


def innermost(dataset: MutableMapping) -> MutableMapping:
    """Return the config of the dataset that reads files; RepeatDataset and the like are looked through.

    Raises:
        ValueError: Several datasets are joined.
    """
    while 'dataset' in dataset or 'datasets' in dataset:
        if len(dataset.get('datasets', [None])) > 1:
            raise ValueError(f'{dataset["type"]} joins {len(dataset["datasets"])} datasets: name a single one')
        dataset = dataset['datasets'][0] if 'datasets' in dataset else dataset['dataset']
    return dataset


def limit_images(config: Config, loader: str, images: Optional[int]) -> None:
    """Keep only the first images of a split.

    Args:
        config: Changed in place.
        loader: ``'train_dataloader'`` or ``'val_dataloader'``.
        images: How many; None keeps all.
    """
    if images is not None:
        innermost(config[loader]['dataset'])['indices'] = images


def check_images(config: Mapping, loader: str, images: Optional[int]) -> None:
    """Refuse to take more images than a split has.

    Raises:
        ValueError: The annotation file has fewer, or ``images`` is not at least 1.
    """
    if images is None:
        return
    dataset = innermost(config[loader]['dataset'])
    path = Path(dataset.get('data_root') or '') / dataset['ann_file']
    present = len(json.loads(path.read_text())['images'])
    if not 1 <= images <= present:
        raise ValueError(f'{images} images asked for, but the split of {loader} ({path}) has {present}')
