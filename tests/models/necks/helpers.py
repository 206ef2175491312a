"""Small necks, the maps that they read, and how far two lists of tensors are apart."""

import torch

from nasdet import zoo
from nasdet.models.necks import MergingCellFPN

CHANNELS = [4, 8, 16, 32]
BN = dict(type='BN')


def neck(genotype, stacks=2, channels=CHANNELS, start_level=1, outs=5, **options):
    if isinstance(genotype, str):
        genotype = zoo.load(genotype).plain()
    return MergingCellFPN(channels, 8, num_outs=outs, genotype=genotype, start_level=start_level, stack_times=stacks,
                          norm_cfg=BN, **options)


def maps(size, dtype=torch.float64, grad=False, batch=2):
    """Maps as a ResNet leaves them for an image of this size: every stride rounds up."""
    torch.manual_seed(sum(size))
    return [torch.randn(batch, c, -(-size[0] // s), -(-size[1] // s), dtype=dtype, requires_grad=grad)
            for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def random_statistics(module):
    for name, buffer in module.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    return module


def gap(a, b):
    pairs = [(x.detach(), y.detach()) for x, y in zip(a, b, strict=True)]
    return max(float((x - y).abs().max() / x.abs().max().clamp(min=1e-30)) for x, y in pairs)
