"""Any network with other numbers of channels in some of its layers."""

from typing import Mapping, Sequence

from mmdet.registry import MODELS
from torch import nn

from nasdet.models.channels.widths import set_widths


@MODELS.register_module()
def narrowed(of: str, widths: Mapping[str, Sequence[int]], **kwargs) -> nn.Module:
    """Build a network, and give layers of it other widths; in a config ``dict(type='narrowed', of='ResNet', ...)``.

    The result is of the class ``of``, with the names that its weights have there. Its code must not write the number
    of channels of an inner layer down: MMDetection's backbones, necks and heads do not.

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
