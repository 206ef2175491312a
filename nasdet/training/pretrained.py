"""Whether the weights that a network of ours starts from are there, and are its own."""

import re
from pathlib import Path
from typing import Any, Iterator, Mapping

from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from torch import Tensor

from nasdet.models.meta import build_on_meta


def check_pretrained(model: Mapping, where: str = 'model') -> None:
    """Refuse networks whose ``init_cfg`` names weights that are missing or of another network.

    mmengine loads what fits and writes the rest into its log, so that the network would be trained from scratch, and
    nobody the wiser. Looked at are the parts of a model that are nasdet's or can be searched (``set_path``); those of
    MMDetection take weights with other heads on purpose.

    Args:
        model: Model config.
        where: What the config is called where a user may correct it.

    Raises:
        ValueError: There is no such file, or a tensor of the network is not in it.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        for name, part in _parts('', model):
            for init in _listed(part.get('init_cfg')):
                if init.get('type') == 'Pretrained' and _is_ours(part['type']):
                    _check(f'the {name or "model"}', part, init, where)


def _parts(name: str, part: Any) -> Iterator[tuple[str, Mapping]]:
    """Yield dotted name and config of all that is built in a model, itself first."""
    if isinstance(part, Mapping):
        if 'type' in part:
            yield name, part
        for key, inner in part.items():
            yield from _parts(f'{name}.{key}'.lstrip('.'), inner)
    elif isinstance(part, (list, tuple)):
        for number, inner in enumerate(part):
            yield from _parts(f'{name}.{number}', inner)


def _is_ours(name: Any) -> bool:
    cls = name if isinstance(name, type) else MODELS.get(name)
    return cls is not None and (cls.__module__.startswith('nasdet.') or hasattr(cls, 'set_path'))


def _check(what: str, part: Mapping, init: Mapping, where: str) -> None:
    path = init['checkpoint']
    if '://' not in path and not Path(path).is_file():
        raise ValueError(f'there are no weights {Path(path).absolute()} for {what} ({part["type"]}) to start from: '
                         f'train them first, or correct its init_cfg in {where} (None starts from scratch)')
    state = _weights(path, init.get('prefix'))
    wanted = {key: tensor for key, tensor in build_on_meta(part).state_dict().items()
              if not key.endswith('num_batches_tracked')}
    missing = [key for key, tensor in wanted.items() if key not in state or state[key].shape != tensor.shape]
    if missing:
        raise ValueError(f'{path} is of another network than {what} ({part["type"]}): {len(missing)} of {len(wanted)} '
                         f'tensors are not in it or have another shape, such as {missing[0]}; train weights of the '
                         f'same network, or correct checkpoint and prefix of its init_cfg in {where}')


def _weights(path: str, prefix: Any) -> dict[str, Tensor]:
    """Return the tensors that mmengine's PretrainedInit would load."""
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    state = checkpoint.get('state_dict', checkpoint)
    if prefix is None:
        return {re.sub(r'^module\.', '', key): tensor for key, tensor in state.items()}
    prefix = prefix if prefix.endswith('.') else f'{prefix}.'       # an empty one too
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _listed(part: Any) -> list:
    return list(part) if isinstance(part, (list, tuple)) else [part] if part else []
