"""ResNet-10, the backbone of NAS-FPN's proxy task.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with one basic block a stage;
Ghiasi et al., "NAS-FPN: Learning Scalable Feature Pyramid Architecture for Object Detection", CVPR 2019, section 4.1.
"""

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmdet.models.backbones.resnet import BasicBlock, ResNet
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class ResNet10(ResNet):
    """mmdet's ResNet with basic blocks [1, 1, 1, 1] and a projection shortcut in every stage.

    The reference code projects the shortcut of the first stage too, where mmdet's deeper ResNets of basic blocks
    pass it on unchanged: 4,910,016 parameters in all, 4,224 of them in that projection.

    Args:
        depth: 10; here so that a config may override only the type of a ResNet with a depth.
        **kwargs: As mmdet's ResNet takes them. The feature maps have 64, 128, 256 and 512 channels at strides 4, 8,
            16 and 32.
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, depth: int = 10, **kwargs):
        super().__init__(depth=depth, **kwargs)

    def make_res_layer(self, **kwargs) -> nn.Sequential:
        """Build one stage; mmdet's ResNet calls this."""
        layer = super().make_res_layer(**kwargs)
        first = layer[0]
        if first.downsample is None:
            width = kwargs['planes']
            projection = build_conv_layer(kwargs['conv_cfg'], kwargs['inplanes'], width, kernel_size=1, bias=False)
            first.downsample = nn.Sequential(projection, build_norm_layer(kwargs['norm_cfg'], width)[1])
        return layer
