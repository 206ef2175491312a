"""A part of a split."""

from typing import Optional

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from nasdet.datasets.dataloaders import locate
from nasdet.datasets.tasks import task_of


def limit_images(config: Config, split: str, images: Optional[int]) -> None:
    """Keep only some images of a split.

    Args:
        config: Prepared; changed in place.
        split: ``'train'`` or ``'val'``.
        images: How many; None keeps all.
    """
    if images is not None:
        holder, key = locate(config[f'{split}_dataloader'], split)
        holder[key] = task_of(config).limited(holder[key], images)


def image_count(config: Config, split: str) -> int:
    """Return the number of images that a split gives in an epoch.

    Args:
        config: Prepared.
        split: ``'train'`` or ``'val'``.
    """
    init_default_scope(config.get('default_scope', 'mmdet'))
    return len(DATASETS.build(config[f'{split}_dataloader'].dataset))


def check_images(config: Config, split: str, images: Optional[int]) -> None:
    """Refuse to take more images than a split has, or so few that they make no batch.

    Raises:
        ValueError: It has fewer, or ``images`` is not at least 1, or is less than the batch of a training that drops
            what makes no whole one.
    """
    if images is None:
        return
    dataloader = config[f'{split}_dataloader']
    holder, key = locate(dataloader, split)
    task_of(config).check_limit(holder[key], images)
    if dataloader.get('drop_last') and images < dataloader['batch_size']:
        raise ValueError(f'{images} images make no batch of {dataloader["batch_size"]}, and the {split}_dataloader has '
                         f'drop_last=True: take more images, or a smaller batch_size')
