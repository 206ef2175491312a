"""Any network with other numbers of channels in some of its layers."""

from typing import Mapping, Sequence

from mmdet.registry import MODELS
from torch import nn

from nasdet.models.channels.widths import set_widths


@MODELS.register_module()
def narrowed(of: str, widths: Mapping[str, Sequence[int]], **kwargs) -> nn.Module:
    """Build a network, and give layers of it other widths; in a config ``dict(type='narrowed', of='ResNet', ...)``.

    The result is of the class ``of``, with the names that its weights have there. Its code runs as it
    is, so a layer whose channels it splits, indexes or shuffles, or whose number it writes down, must keep its width:
    :func:`~nasdet.models.channels.trace_channels` fixes those of the first kind, such as inside Res2Net's blocks; of
    the second MMDetection's ResNet, FPN and the heads in its RetinaNet, FCOS, Faster and Mask R-CNN have none.

    Args:
        of: What ``type`` would be without the table.
        widths: By the dotted name of a layer its ``[in_channels, out_channels]``; of a norm layer both are equal.
        **kwargs: Arguments of ``of``, with the widths that it has without the table.

    Returns:
        The network; MMEngine's ``init_weights`` initialises it as one of that class.

    Raises:
        AttributeError: There is no such layer.
        ValueError: It is of a kind that has no width.
    """
    network = MODELS.build(dict(type=of, **kwargs))
    for name, sizes in widths.items():
        set_widths(network.get_submodule(name), sizes)
    return network
