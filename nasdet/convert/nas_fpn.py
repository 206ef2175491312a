"""Weights of mmdet's NAS-FPN neck, renamed to ours and back."""

from typing import Callable, Mapping

# mmdet's names for the published cells, in the genotype's order; two gp cells have no weights of their own, their
# convolution sits in the sum that adds the unused feature.
NASFPN_CELLS = ('gp_64_4', 'sum_44_4', 'sum_43_3', 'sum_34_4', 'sum_55_5', 'sum_77_7', 'gp_75_6')


def mmdet_nasfpn(state_dict: Mapping) -> dict:
    """Rename the weights of mmdet's NASFPN to those of a MergingCellFPN with the genotype ``nas_fpn_mmdet``.

    Args:
        state_dict: Of the neck alone, or of a whole detector, such as a checkpoint of mmdet's model zoo holds: then
            the names that start with ``neck.`` change, and the others stay.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name of the neck is not NASFPN's.
    """
    return _rename_neck(state_dict, _from_nasfpn)


def to_mmdet_nasfpn(state_dict: Mapping) -> dict:
    """Rename the weights of a MergingCellFPN with the genotype ``nas_fpn_mmdet`` to those of mmdet's NASFPN.

    Args:
        state_dict: Of the neck alone, or of a whole detector, as for :func:`mmdet_nasfpn`.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name of the neck is not one of such a MergingCellFPN.
    """
    return _rename_neck(state_dict, _to_nasfpn)


def _rename_neck(state_dict: Mapping, rename: Callable[[str], str]) -> dict:
    prefix = 'neck.' if any(name.startswith('neck.') for name in state_dict) else ''
    return {prefix + rename(name[len(prefix):]) if name.startswith(prefix) else name: tensor
            for name, tensor in state_dict.items()}


def _from_nasfpn(name: str) -> str:
    match name.split('.'):
        case ['lateral_convs', level, *weight]:
            return '.'.join(['inputs.laterals', level, *weight])
        case ['extra_downsamples', level, '0', *weight]:    # 0 is the convolution, 1 the pooling
            return '.'.join(['inputs.tops', level, *weight])
        case ['fpn_stages', stack, cell, 'out_conv', *weight] if cell in NASFPN_CELLS:
            return '.'.join(['stacks', stack, str(NASFPN_CELLS.index(cell)), *weight])
    raise ValueError(f'{name!r} is not a weight of mmdet.models.necks.NASFPN')


def _to_nasfpn(name: str) -> str:
    match name.split('.'):
        case ['inputs', 'laterals', level, *weight]:
            return '.'.join(['lateral_convs', level, *weight])
        case ['inputs', 'tops', level, *weight]:
            return '.'.join(['extra_downsamples', level, '0', *weight])
        case ['stacks', stack, cell, *weight] if cell in map(str, range(len(NASFPN_CELLS))):
            return '.'.join(['fpn_stages', stack, NASFPN_CELLS[int(cell)], 'out_conv', *weight])
    raise ValueError(f'{name!r} is not a weight of a MergingCellFPN with the genotype nas_fpn_mmdet')
