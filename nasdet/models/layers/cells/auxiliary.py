"""The auxiliary classifier, for training only.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018,
arXiv:1707.07012, appendix A.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from nasdet.models.layers.cells.convolutions import norm
from nasdet.models.layers.cells.dialect import Dialect


class AuxiliaryHead(nn.Module):
    """ReLU, 5x5 average pooling, 1x1 convolution to 128, a convolution over the whole rest to 768, linear layer.

    Args:
        in_channels: Channels of the map that it reads.
        num_classes: Number of classes K.
        dialect: Its normalisation follows each convolution.
        kernel: Side of the second convolution: what the pooling leaves at the published image size.
        pool_stride: Of the pooling, which has no padding.
        second_norm: Whether the second convolution is normalised; DARTS's head for ImageNet is published without.
        bias: Whether the linear layer has a bias.
    """

    def __init__(self, in_channels: int, num_classes: int, dialect: Dialect, kernel: int = 4, pool_stride: int = 3,
                 second_norm: bool = True, bias: bool = True):
        super().__init__()
        self.least = 5 + (kernel - 1) * pool_stride
        layers = dict(
            pool=nn.AvgPool2d(5, pool_stride), conv1=nn.Conv2d(in_channels, 128, 1, bias=False),
            norm1=norm(128, dialect), relu1=nn.ReLU(inplace=True), conv2=nn.Conv2d(128, 768, kernel, bias=False))
        if second_norm:
            layers.update(norm2=norm(768, dialect))
        self.features = nn.Sequential(OrderedDict(layers, relu2=nn.ReLU(inplace=True)))
        self.fc = nn.Linear(768, num_classes, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of a map (N, C, H, W); where it is larger than published, the mean over places.

        Raises:
            ValueError: The map is smaller than the head reads.
        """
        if min(x.shape[-2:]) < self.least:
            raise ValueError(f'the auxiliary head reads maps of {self.least} x {self.least} or more, not '
                             f'{tuple(x.shape[-2:])}: train on larger images, or give auxiliary_head a smaller kernel')
        return self.fc(self.features(F.relu(x)).mean(dim=(2, 3)))
