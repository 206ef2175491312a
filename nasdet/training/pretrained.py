"""Whether the weights that a supernet starts from are there, and are its own."""

from pathlib import Path
from typing import Any, Mapping

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from nasdet.models.meta import build_on_meta
from nasdet.training.paths import searched_modules


def check_pretrained(model: Mapping) -> None:
    """Refuse a supernet whose ``init_cfg`` names weights that are missing or of another network.

    mmengine loads what fits and writes the rest into its log, so that the supernet would be trained from scratch, and
    nobody the wiser.

    Args:
        model: Model config of the supernet; the ``init_cfg`` of its searched modules are looked at.

    Raises:
        ValueError: There is no such file, or a tensor of the supernet is not in it.
    """
    for name, module in searched_modules(build_on_meta(model)).items():
        for init in _listed(getattr(module, 'init_cfg', None)):
            if init.get('type') == 'Pretrained':
                _check(name, module, init)


def _check(name: str, module: nn.Module, init: Mapping) -> None:
    path = init['checkpoint']
    if '://' not in path and not Path(path).is_file():
        raise ValueError(f'there are no weights {Path(path).absolute()} for the supernet to start from: train them '
                         f'first, or correct init_cfg of the {name} in search.space (None starts from scratch)')
    state = _weights(path, init.get('prefix', ''))
    wanted = {key: tensor for key, tensor in module.state_dict().items() if not key.endswith('num_batches_tracked')}
    missing = [key for key, tensor in wanted.items() if key not in state or state[key].shape != tensor.shape]
    if missing:
        raise ValueError(f'{path} is of another network than the supernet: {len(missing)} of {len(wanted)} tensors of '
                         f'the {name} are not in it or have another shape, such as {missing[0]}; pre-train with the '
                         f'same space, or correct init_cfg of the {name} in search.space')


def _weights(path: str, prefix: str) -> dict[str, Tensor]:
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    prefix = f'{prefix.rstrip(".")}.' if prefix else ''
    state = checkpoint.get('state_dict', checkpoint)
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _listed(part: Any) -> list:
    return list(part) if isinstance(part, (list, tuple)) else [part] if part else []
