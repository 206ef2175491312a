"""A space of tiny image classifiers, its supernet, and a search config over it on the built-in digits."""

import os
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from torch import nn

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.search import Search
from nasdet.spaces.base import Choice, Space

KERNELS = (1, 3, 5)
BLOCKS = 2
CHANNELS = 8


def block(kernel: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, kernel, stride=2, padding=kernel // 2, bias=False),
                         nn.BatchNorm2d(CHANNELS), nn.ReLU())


def stem() -> nn.Module:
    convolution = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU())


@MODELS.register_module()
class TinyBackbone(BaseModule):
    """A stem and blocks of one convolution each, all at half the resolution of the one before."""

    def __init__(self, genotype, out_indices=(BLOCKS - 1,), init_cfg=None):
        super().__init__(init_cfg)
        self.stem = stem()
        self.blocks = nn.ModuleList(block(kernel) for kernel in genotype['kernels'])
        self.out_indices = tuple(out_indices)

    def forward(self, x):
        x, maps = self.stem(x), []
        for layer in self.blocks:
            x = layer(x)
            maps.append(x)
        return tuple(maps[index] for index in self.out_indices)


@MODELS.register_module()
class TinySupernet(BaseModule):
    """All blocks of all paths."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.stem = stem()
        self.choices = nn.ModuleList(nn.ModuleDict({str(kernel): block(kernel) for kernel in KERNELS})
                                     for _ in range(BLOCKS))
        self.kernels = [KERNELS[0]] * BLOCKS

    def set_path(self, value):
        self.kernels = value['kernels']

    def extract(self, value):
        found = TinyBackbone(value)
        found.stem.load_state_dict(self.stem.state_dict())
        for target, choices, kernel in zip(found.blocks, self.choices, value['kernels'], strict=True):
            target.load_state_dict(choices[str(kernel)].state_dict())
        return found

    def forward(self, x):
        x = self.stem(x)
        for choices, kernel in zip(self.choices, self.kernels, strict=True):
            x = choices[str(kernel)](x)
        return (x,)


@SPACES.register_module()
class TinySpace(Space):
    """The kernel size of each block."""

    vocab = dict(kernel=KERNELS)

    def choices(self, prefix):
        return Choice(f'block{len(prefix)}', 'kernel', (0, 1, 2)) if len(prefix) < BLOCKS else None

    def decode(self, tokens):
        value = [KERNELS[token] for _, token in self.walk(tokens)]
        if len(value) != BLOCKS:
            raise ValueError(f'{self.name}: {len(value)} tokens for {BLOCKS} blocks')
        return Genotype(self.name, dict(kernels=value))

    def encode(self, genotype):
        return tuple(KERNELS.index(kernel) for kernel in genotype.value['kernels'])

    def apply(self, genotype, model):
        backbone = dict(type='TinyBackbone', genotype=genotype.plain())
        return ConfigDict({**model, 'backbone': backbone, 'in_channels': CHANNELS})

    def supernet(self, model):
        return ConfigDict({**model, 'backbone': dict(type='TinySupernet'), 'in_channels': CHANNELS})


def write_config(path: Path, estimator: str = 'TrainingEstimator', **search) -> Path:
    """Write a config that searches for a classifier of 16 px digits within seconds."""
    base = Path(__file__).parents[1] / 'configs' / '_base_' / 'classification'
    search = {**dict(
        data=dict(type='HandwrittenDigits', size=16, train_size=480, val_size=60, test_size=60),
        space=dict(type='TinySpace'), searcher=dict(type='RandomSearcher'),
        estimator=dict(type=estimator, epochs=1), budget=dict(trials=3)), **search}
    path.write_text(
        f'_base_ = {[str(base / name) for name in ("digits.py", "runtime.py")]}\n'
        "custom_imports = dict(imports=['nasdet.models', 'nasdet.datasets', 'nasdet.training', 'tests.classifiers'])\n"
        "train_dataloader = dict(batch_size=16, num_workers=0, dataset=dict(\n"
        "    transforms=[dict(type='RandomCrop', size=16, padding=2)]))\n"
        'val_dataloader = dict(num_workers=0)\ntest_dataloader = dict(num_workers=0)\n'
        'train_cfg = dict(max_epochs=1)\n'
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.02, weight_decay=0.0))\n"
        "model = dict(type='ImageClassifier', backbone=dict(type='ResNet10', norm_eval=False), num_classes=1,\n"
        '             in_channels=512, data_preprocessor=_base_.data_preprocessor)\n'
        f'search = {search}\n')
    return path


def drive(config: str, work_dir: str, errors: str) -> None:
    """Run a search to its end, and write to a file what it says."""
    with open(errors, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    Search.from_cfg(Config.fromfile(config), work_dir).run()
