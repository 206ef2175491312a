"""DropBlock on the maps of a feature pyramid.

Ghiasi, Lin, Le: DropBlock: A regularization method for convolutional networks. NeurIPS 2018, arXiv:1810.12890.
"""

from mmdet.models.layers import DropBlock
from torch import Tensor


class PyramidDropBlock(DropBlock):
    """mmdet's DropBlock for maps of any size: one smaller than the block, as coarse levels are, passes unchanged.

    Args:
        drop_prob: Probability of a pixel to be dropped, reached after the warm-up.
        block_size: Side of the square dropped around each chosen pixel, odd.
        warmup_iters: Training iterations in which the probability grows from 0. They are not in the checkpoint: a
            resumed training warms up again.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop blocks of (N, C, H, W) in training, and scale up what is left; in evaluation return it unchanged."""
        return x if min(x.shape[-2:]) < self.block_size else super().forward(x)
