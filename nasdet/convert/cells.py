"""Weights of other people's cell networks, renamed to those of a CellNetwork.

``timm`` is github.com/huggingface/pytorch-image-models (``timm/models/nasnet.py`` and ``pnasnet.py``); the DARTS names
are those of github.com/quark0/darts (``cnn/model.py`` and ``cnn/operations.py``).
"""

import re
from typing import Callable, Mapping

LAYERS = dict(conv='conv', bn='norm')
SIDES = dict(left=0, right=1)
BRANCH = re.compile(r'comb_iter_(\d)_(left|right)')
HALVES = {'1': 'first', '2': 'second'}
# The layers of DARTS's Sequentials by their places; the ReLUs in them have no weights.
PROJECTION = {'1': 'conv', '2': 'norm'}
SEPARABLE = {'1': 'first.depthwise', '2': 'first.pointwise', '3': 'first.norm',
             '5': 'second.depthwise', '6': 'second.pointwise', '7': 'second.norm'}
CONV17_71 = {'1': 'conv0', '2': 'conv1', '3': 'norm'}
REDUCTION = dict(conv_1='path1', conv_2='path2', bn='norm')
DARTS_STEMS = {('stem', '0'): 'conv', ('stem', '1'): 'norm',
               ('stem0', '0'): 'stem0.first.conv', ('stem0', '1'): 'stem0.first.norm',
               ('stem0', '3'): 'stem0.second.conv', ('stem0', '4'): 'stem0.second.norm',
               ('stem1', '1'): 'stem1.conv', ('stem1', '2'): 'stem1.norm'}
AUXILIARY = {'2': 'conv1', '3': 'norm1', '5': 'conv2', '6': 'norm2'}


def timm_nasnetalarge(state_dict: Mapping) -> dict:
    """Rename the weights of timm's ``nasnetalarge`` to those of ``zoo.build('nasnet_a_6_4032', padding='timm')``.

    They expect images in RGB with mean 127.5 and standard deviation 127.5.

    Args:
        state_dict: Of the network, with its classifier or without it.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name is not one of timm's network.
    """
    return _renamed(state_dict, lambda name: _from_timm(name, _place_in_nasnet), 'nasnetalarge of timm')


def timm_pnasnet5large(state_dict: Mapping) -> dict:
    """Rename the weights of timm's ``pnasnet5large`` to those of ``zoo.build('pnasnet_5_large', padding='timm')``.

    They expect images in RGB with mean 127.5 and standard deviation 127.5.

    Args:
        state_dict: Of the network, with its classifier or without it.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name is not one of timm's network.
    """
    return _renamed(state_dict, lambda name: _from_timm(name, _place_in_pnasnet), 'pnasnet5large of timm')


def darts(state_dict: Mapping) -> dict:
    """Rename the weights of a network that the DARTS authors' code has trained, for CIFAR-10 or for ImageNet.

    They belong to a CellNetwork with the same genotype, such as ``zoo.build('darts_v2_cifar')`` or
    ``zoo.build('darts_v2_imagenet')``, with ``auxiliary=True`` where the auxiliary head was trained too. The order of
    the operations in that code's genotype is the order of the blocks in ours.

    Args:
        state_dict: Of the network, with or without ``module.`` in front. The code saves it as it is for CIFAR-10, and
            under ``'state_dict'`` of a checkpoint for ImageNet.

    Returns:
        The same tensors under the new names.

    Raises:
        ValueError: A name is not one of such a network.
    """
    state = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    return _renamed(state, _from_darts, 'a network of quark0/darts')


def _renamed(state_dict: Mapping, rename: Callable[[str], str], network: str) -> dict:
    renamed = {}
    for name, tensor in state_dict.items():
        try:
            renamed[rename(name)] = tensor
        except LookupError as error:
            raise ValueError(f'{name!r} is not a weight of {network}') from error
    return renamed


def _from_timm(name: str, place: Callable[[str], int]) -> str:
    match name.split('.'):
        case ['conv0' | 'conv_0', layer, tensor]:
            return f'stem.{LAYERS[layer]}.{tensor}'
        case ['last_linear', tensor]:
            return f'fc.{tensor}'
        case [cell, 'conv_1x1', layer, tensor]:
            return f'cells.{place(cell)}.inputs.1.project.{LAYERS[layer]}.{tensor}'
        case [cell, 'conv_prev_1x1', 'conv' | 'bn' as layer, tensor]:
            return f'cells.{place(cell)}.inputs.0.project.{LAYERS[layer]}.{tensor}'
        # nasnet.py has the paths in the cell itself, pnasnet.py in a module of their own
        case [cell, 'path_1' | 'path_2' as path, 'conv', tensor] | \
                [cell, 'conv_prev_1x1', 'path_1' | 'path_2' as path, 'conv', tensor]:
            return f'cells.{place(cell)}.inputs.0.reduction.{path.replace("_", "")}.{tensor}'
        case [cell, 'final_path_bn', tensor] | [cell, 'conv_prev_1x1', 'final_path_bn', tensor]:
            return f'cells.{place(cell)}.inputs.0.reduction.norm.{tensor}'
        case [cell, branch, *layers, tensor]:
            return f'cells.{place(cell)}.{_timm_operation(branch, layers)}.{tensor}'
    raise KeyError(name)


def _timm_operation(branch: str, layers: list[str]) -> str:
    found = BRANCH.fullmatch(branch)
    if found is None:
        raise KeyError(branch)
    operation = f'blocks.{found[1]}.{SIDES[found[2]]}'
    match layers:
        case ['separable_1' | 'separable_2' as half, 'depthwise_conv2d' | 'pointwise_conv2d' as layer]:
            return f'{operation}.{HALVES[half[-1]]}.{layer.removesuffix("_conv2d")}'
        case ['bn_sep_1' | 'bn_sep_2' as half]:
            return f'{operation}.{HALVES[half[-1]]}.norm'
        case ['conv' | 'bn' as layer]:      # an id at stride 2, or what follows a pooling
            return f'{operation}.{LAYERS[layer]}'
    raise KeyError('.'.join(layers))


def _place_in_nasnet(cell: str) -> int:
    """Return the place in the stack: two stem cells, then stages of six, each but the first behind a reduction."""
    match cell.rsplit('_', 1):
        case ['cell_stem', number]:
            return _number(number, 2)
        case ['cell', number]:
            index = _number(number, 18)
            return 2 + index + index // 6
        case ['reduction_cell', number]:
            return 8 + 7 * _number(number, 2)
    raise KeyError(cell)


def _place_in_pnasnet(cell: str) -> int:
    """Return the place in the stack: two stem cells, then twelve, of which the fifth and the ninth reduce."""
    match cell.rsplit('_', 1):
        case ['cell_stem', number]:
            return _number(number, 2)
        case ['cell', number]:
            return 2 + _number(number, 12)
    raise KeyError(cell)


def _number(text: str, count: int) -> int:
    if not text.isdecimal() or int(text) >= count:
        raise KeyError(text)
    return int(text)


def _from_darts(name: str) -> str:
    match name.split('.'):
        case ['stem' | 'stem0' | 'stem1' as stem, place, tensor]:
            return f'stem.{DARTS_STEMS[stem, place]}.{tensor}'
        case ['classifier', tensor]:
            return f'fc.{tensor}'
        case ['auxiliary_head', 'classifier', tensor]:
            return f'auxiliary_head.fc.{tensor}'
        case ['auxiliary_head', 'features', place, tensor]:
            return f'auxiliary_head.features.{AUXILIARY[place]}.{tensor}'
        case ['cells', cell, 'preprocess0' | 'preprocess1' as input_, 'op', place, tensor]:
            return f'cells.{cell}.inputs.{input_[-1]}.project.{PROJECTION[place]}.{tensor}'
        case ['cells', cell, 'preprocess0', layer, tensor]:
            return f'cells.{cell}.inputs.0.reduction.{REDUCTION[layer]}.{tensor}'
        case ['cells', cell, '_ops', number, *layers, tensor] if number.isdecimal():
            block, half = divmod(int(number), 2)
            return f'cells.{cell}.blocks.{block}.{half}.{_darts_operation(layers)}.{tensor}'
    raise KeyError(name)


def _darts_operation(layers: list[str]) -> str:
    match layers:
        case ['op', place]:
            return SEPARABLE[place]     # a dilated convolution has the first half only
        case [layer] if layer in REDUCTION:
            return f'reduction.{REDUCTION[layer]}'
        case [place]:
            return CONV17_71[place]
    raise KeyError('.'.join(layers))
