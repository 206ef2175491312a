"""A detector that chooses the size of its images itself, so that a resolution is a part of its model config."""

import copy
from typing import Mapping, Sequence

import torch.nn.functional as F
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

Shape = tuple[int, int, int]


@MODELS.register_module()
class ResizingDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's, which first resizes each image so that its longer side is ``side``, and its annotations with it.

    The aspect ratio is kept to whole pixels. Predicted boxes are those of the original image, as after any resizing
    of a data pipeline.

    Args:
        side: Pixels.
        **options: As of mmdet's DetDataPreprocessor.
    """

    def __init__(self, side: int, **options):
        super().__init__(**options)
        self.side = side

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return normalised, padded images (N, 3, H, W) and the samples that belong to them.

        Args:
            data: ``inputs``, images (3, h, w) or a batch of them, and ``data_samples`` or None; not changed.
            training: As mmdet has it.
        """
        data = self.cast_data(data)     # copies samples, which a search reads again and again
        images = [resized(image, self.side) for image in data['inputs']]
        samples = data.get('data_samples')
        if samples is not None:
            for sample, before, after in zip(samples, data['inputs'], images, strict=True):
                _rescale(sample, after.shape[2] / before.shape[2], after.shape[1] / before.shape[1])
        return super().forward({**data, 'inputs': images, 'data_samples': samples}, training)


@MODELS.register_module()
class ElasticDetDataPreprocessor(ResizingDetDataPreprocessor):
    """That of a supernet: it resizes images to the resolution of the current child.

    Args:
        sides: The resolutions that children have, pixels; the largest one holds until a path is set.
        **options: As of mmdet's DetDataPreprocessor.
    """

    def __init__(self, sides: Sequence[int], **options):
        super().__init__(max(sides), **options)
        self.sides = tuple(sides)

    def set_path(self, value: Mapping) -> None:
        """Take the resolution of a child.

        Args:
            value: Plain value of an ElasticSpace genotype.

        Raises:
            ValueError: No child has it.
        """
        if value['resolution'] not in self.sides:
            raise ValueError(f'the children have the resolutions {list(self.sides)}, the genotype has '
                             f'{value["resolution"]}')
        self.side = value['resolution']

    def extract(self, value: Mapping) -> 'ElasticDetDataPreprocessor':
        """Return the part of a child: a copy, which has no weights."""
        extracted = copy.deepcopy(self)
        extracted.set_path(value)
        return extracted


def resized(image: Tensor, side: int) -> Tensor:
    """Return an image (3, h, w) as float with a longer side of ``side`` pixels; as it is where it has that."""
    height, width = resized_shape(image.shape[1:], side)
    if (height, width) == tuple(image.shape[1:]):
        return image
    return F.interpolate(image[None].float(), size=(height, width), mode='bilinear', align_corners=False)[0]


def resized_shape(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return (height, width) of an image of a shape (height, width) whose longer side becomes ``side`` pixels."""
    return tuple(max(round(length * side / max(shape)), 1) for length in shape)


def input_shape_of(model: Mapping, shape: Shape) -> Shape:
    """Return the shape of the image that a network is given.

    Args:
        model: A model config.
        shape: (C, H, W) of the image as the data pipeline gives it.
    """
    side = (model.get('data_preprocessor') or {}).get('side')
    return shape if side is None else (shape[0], *resized_shape(shape[1:], side))


def _rescale(sample: DetDataSample, x: float, y: float) -> None:
    """Change a sample as if its image had been resized by the data pipeline."""
    height, width = sample.img_shape[:2]
    before = sample.metainfo.get('scale_factor', (1.0, 1.0))
    shape = (round(height * y), round(width * x))
    sample.set_metainfo(dict(img_shape=shape, scale_factor=(before[0] * x, before[1] * y)))
    for name in ('gt_instances', 'ignored_instances'):
        instances = sample.get(name)
        if instances is not None and 'bboxes' in instances:
            boxes = get_box_tensor(instances.bboxes)
            instances.bboxes = boxes * boxes.new_tensor([x, y, x, y])
        if instances is not None and 'masks' in instances:
            instances.masks = instances.masks.resize(shape)
