"""A head that fits no neck but one of 16 channels."""

from mmdet.models import RetinaHead
from mmdet.registry import MODELS


@MODELS.register_module()
class NarrowHead(RetinaHead):
    """Reads maps of 16 channels, whatever it is told."""

    def __init__(self, *args, in_channels, **kwargs):
        super().__init__(*args, in_channels=16, **kwargs)
