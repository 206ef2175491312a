"""A part of a split."""

from typing import Optional

from mmengine.config import Config

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
