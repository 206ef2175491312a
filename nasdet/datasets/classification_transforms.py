"""Image transforms for classification: torchvision's by name, and Cutout."""

import difflib
from typing import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2


class Cutout(nn.Module):
    """Cover one square that may reach over the border.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, section 3.2:
    the centre is drawn uniformly over the pixels, and only the part inside the image is covered. (torchvision's
    RandomErasing always keeps its rectangle inside.)

    Args:
        size: Side of the square in pixels, even.
        fill: Value of the covered pixels, one a channel. The paper covers with zeros after normalisation: give the
            data's mean.

    Raises:
        ValueError: ``size`` is odd or not positive.
    """

    def __init__(self, size: int, fill: Sequence[int] = (124, 116, 104)):
        super().__init__()
        if size < 2 or size % 2:
            raise ValueError(f'Cutout: size is an even number of pixels, not {size}')
        self.size = size
        self.fill = fill

    def forward(self, image: Tensor) -> Tensor:
        """Return a copy of an image (C, H, W) with a square around a random pixel covered."""
        height, width = image.shape[-2:]
        return self.cover(image, int(torch.randint(height, ())), int(torch.randint(width, ())))

    def cover(self, image: Tensor, y: int, x: int) -> Tensor:
        """Return a copy of an image (C, H, W) with the square around the pixel (y, x) covered."""
        half = self.size // 2
        covered = image.clone()
        fill = torch.as_tensor(self.fill, dtype=image.dtype).view(-1, 1, 1)
        covered[:, max(y - half, 0):y + half, max(x - half, 0):x + half] = fill
        return covered


def compose(transforms: Sequence[dict]) -> v2.Compose:
    """Build a chain of transforms of one image.

    Args:
        transforms: Dicts with ``type``, ``'Cutout'`` or a class of ``torchvision.transforms.v2``, and its arguments.
            They run on uint8 images (3, H, W).

    Returns:
        A callable that takes a PIL image or an array (H, W, 3) and returns a uint8 tensor (3, H, W).

    Raises:
        ValueError: Unknown transform (the nearest name is suggested).
    """
    return v2.Compose([v2.ToImage(), *[_build(cfg) for cfg in transforms], v2.ToPureTensor()])


def _build(cfg: dict) -> nn.Module:
    arguments = dict(cfg)
    name = arguments.pop('type')
    if name == 'Cutout':
        return Cutout(**arguments)
    if name not in v2.__dict__:
        near = difflib.get_close_matches(name, ['Cutout', *v2.__dict__], n=1, cutoff=0)
        raise ValueError(f'unknown transform {name!r} of torchvision.transforms.v2: did you mean {near[0]!r}?')
    return getattr(v2, name)(**arguments)
