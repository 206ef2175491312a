"""What an evaluation leaves in its folder."""

from pathlib import Path
from pprint import pformat
from typing import Mapping

from mmengine.config import Config

CONFIG = 'config.py'
WEIGHTS = 'weights.pth'


def write_config(config: Config, model: Mapping, folder: Path) -> None:
    """Write the config of a genotype's network, which can be trained and tested as it is.

    mmengine's own dump formats with yapf, which takes longer than a supernet needs for a candidate.

    Args:
        config: The prepared config.
        model: The model config with the genotype applied.
        folder: Made where absent.
    """
    plain = Config({**config.to_dict(), 'model': model}).to_dict()
    plain.pop('search', None)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'{name} = {pformat(value, width=110, sort_dicts=False)}\n' for name, value in plain.items()]
    (folder / CONFIG).write_text(''.join(lines))
