"""Which channels of a network belong together: they live and die as one, in every layer that they run through.

Why nasdet has this of its own. torch-pruning 1.6.1 (MIT licence, no dependency but torch and NumPy) was tried on
RetinaNet, FCOS, Faster R-CNN, Mask R-CNN and a RetinaNet with MergingCellFPN, all of MMDetection 3.5.1. It finds the
same layers for each group of channels: residual sums, FPN sums, heads shared by the levels, merging cells with their
global attention, and the first fully connected layer behind the regions. What it does not do, and what a search of
widths needs:

- It takes an operation that it does not know for one that keeps each channel where it is. A softmax over the channels
  and a channel shuffle pass without a word, the shuffle with the wrong channels behind it.
- Behind the regions of a two-stage detector the order of the channels is lost: channels (0, 1) of one map are paired
  with (1, 0) of another, so that masks and importances cannot be carried over.
- It narrows a GroupNorm's convolution so that the layer no longer runs (254 channels in 32 groups), and leaves the
  width that a RoI extractor writes into its outputs, after which Faster and Mask R-CNN do not run either.
- It says neither which batch norm directly follows which convolution, nor what a channel costs in a layer, once for
  each level that the layer runs at; and it needs a real forward pass with gradients.

So :mod:`nasdet.models.channels.tracing` follows the channels through one forward pass on the meta device, and
:mod:`nasdet.models.channels.slicing` removes some. Channels that the network's code splits, indexes or shuffles keep
their number, as does what any operation without a rule reads; the graph's ``stops`` name these operations.
"""

from nasdet.models.channels.folding import fold_channels
from nasdet.models.channels.graph import ChannelGraph, Group, Layer
from nasdet.models.channels.inheritance import choose_origin, inherit_weights
from nasdet.models.channels.resource import Resource
from nasdet.models.channels.slicing import layer_widths, silence_channels, slice_channels
from nasdet.models.channels.trace import trace_channels
from nasdet.models.channels.widths import set_widths

__all__ = ['ChannelGraph', 'Group', 'Layer', 'Resource', 'choose_origin', 'fold_channels', 'inherit_weights',
           'layer_widths', 'set_widths', 'silence_channels', 'slice_channels', 'trace_channels']
