"""Weights of the authors' DetNAS networks, renamed to ours.

The files are linked in the README of github.com/megvii-model/DetNAS ("Trained Models"; the supernet under "ImageNet
pre-training"). They belong to the networks there and in
github.com/megvii-model/ShuffleNet-Series, folder DetNAS.
"""

import re
from typing import Iterable, Iterator, Mapping, Sequence

KINDS = dict(shufflenet_3x3='shuffle3', shufflenet_5x5='shuffle5', shufflenet_7x7='shuffle7', xception_3x3='xception')
# features.INDEX, in a supernet also .CHOICE; further on the stage and the block's letter ('3c'), and its kind.
BLOCK = re.compile(rf'features\.(\d+)\.(\d+\.)?conv\..*?([1-9][a-z])_({"|".join(KINDS)})_branch2')
NORM_TENSORS = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
STEM = {'first_conv.conv': 'stem.0', 'first_conv.bn': 'stem.1'}
HEAD = {'last_conv.conv': 'head.conv', 'last_conv.bn': 'head.norm', 'fc.fc': 'head.fc'}
MISSING = 'missing in these weights of an official DetNAS network'


def detnas(state_dict: Mapping) -> dict:
    """Rename the weights of an official DetNAS network, or of the official supernet.

    They expect images in BGR, 0 to 255, mean 0, standard deviation 1, as the genotypes of the zoo say: give a detector
    ``data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False, ...)``. Single networks split channels in
    the way ``'even_odd'``, the supernet in the way ``'halves'``.

    Args:
        state_dict: With the names of the file, with or without ``module.`` in front, and with the ImageNet head or
            without it. Of a training checkpoint, its entry ``'state_dict'``.

    Returns:
        The same tensors under the names of a :class:`DetNASNet` (with ``head=True`` where the head is there), or of a
        :class:`DetNASSupernet`. Old files have no ``num_batches_tracked``, and none is added.

    Raises:
        ValueError: A name is not one of such a network, or one is missing; the message says which.
    """
    state = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    names = _names(state)
    _refuse('no names of an official DetNAS network', [name for name in state if name not in names])
    needed = [name for name in names if not name.endswith('.num_batches_tracked')]
    _refuse(MISSING, [name for name in needed if name not in state])
    return {names[name]: tensor for name, tensor in state.items()}


def _names(state: Iterable[str]) -> dict[str, str]:
    """Return official name -> our name of every tensor in the network whose blocks the given names mention."""
    modules = dict(STEM)
    if any(name.startswith(('last_conv.', 'fc.')) for name in state):
        modules.update(HEAD)
    for official, ours, label, kind in _blocks(state):
        modules.update({f'{official}.{theirs}': f'{ours}.{layer}' for theirs, layer in _layers(label, kind).items()})
    return {f'{official}.{tensor}': f'{ours}.{tensor}'
            for official, ours in modules.items() for tensor in _tensors(official)}


def _blocks(state: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield official and our name, label ('3c') and official kind of every block."""
    matches = filter(None, map(BLOCK.match, state))
    found = {int(index): (choice, label, kind) for index, choice, label, kind in map(re.Match.groups, matches)}
    places = range(max(found, default=-1) + 1)
    _refuse(MISSING, [f'features.{index}' for index in places if index not in found])
    for index in places:
        choice, label, kind = found[index]
        ours = f'stages.{int(label[0]) - 1}.{ord(label[1]) - ord("a")}'
        if choice is None:
            yield f'features.{index}', ours, label, kind
            continue
        for number, (each, name) in enumerate(KINDS.items()):
            yield f'features.{index}.{number}', f'{ours}.{name}', label, each


def _layers(label: str, kind: str) -> dict[str, str]:
    """Return official name -> our name of the layers of a block that have weights."""
    if kind == 'xception_3x3':
        units = [_unit(f'{label}_{kind}_branch2{letter}') for letter in 'abc']
    else:       # the first unit has a 1x1 convolution only
        units = [_unit(f'{label}_{kind}_branch2a')[2:], _unit(f'{label}_{kind}_branch2b')]
    layers, place = {}, 0
    for number, unit in enumerate(units):
        for layer in unit:
            layers[f'conv.{number}.{layer}'] = f'branch.{place}'
            place += 1
        place += 1      # the ReLU that ends a unit
    if label.endswith('a'):
        projection = _unit(f'{label}_proj')
        layers.update({f'proj_conv.{layer}': f'projection.{place}' for place, layer in enumerate(projection)})
    return layers


def _unit(name: str) -> list[str]:
    """Return the official names of a depthwise convolution, its norm, a 1x1 convolution and its norm."""
    return [f'interstellar{name}_s', f'interstellar{name}_s_bn', f'interstellar{name}', f'bn{name}']


def _tensors(module: str) -> Sequence[str]:
    leaf = module.rpartition('.')[2]
    if leaf.startswith('bn') or leaf.endswith('_bn'):
        return NORM_TENSORS
    return ('weight',) if module.startswith('features.') else ('weight', 'bias')


def _refuse(what: str, names: Sequence[str]) -> None:
    if names:
        shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
        raise ValueError(f'{what}: {shown}; give detnas() the state dict of a network of '
                         f'github.com/megvii-model/DetNAS, all of it and nothing else')
