"""A supernet of one searched part, small enough to train in a test, and a space for it."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import Dataset

from nasdet.genotype import Genotype
from nasdet.registry import SPACES
from nasdet.spaces.base import Choice, Space

BLOCKS = 4


@SPACES.register_module()
class BlockSpace(Space):
    """Which of a few blocks is used."""

    vocab = dict(block=tuple(range(BLOCKS)))

    def choices(self, prefix):
        return None if prefix else Choice('block', 'block', tuple(range(BLOCKS)))

    def decode(self, tokens):
        return Genotype('BlockSpace', dict(block=tokens[0]))

    def encode(self, genotype):
        return (genotype.value['block'],)


class ChoiceBlock(nn.Module):
    """One of several layers, chosen by ``set_path``."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(BLOCKS))
        self.block = 0

    def set_path(self, value):
        self.block = value['block']

    def forward(self, x):
        return self.blocks[self.block](x)


@MODELS.register_module()
class ToySupernet(BaseModel):
    """A regression with noise drawn in training, so that random states matter."""

    def __init__(self, poison_at=None):
        super().__init__()
        self.searched = ChoiceBlock()
        self.head = nn.Linear(3, 1)
        self.poison_at = poison_at
        self.calls = 0

    def forward(self, inputs, targets, mode='tensor'):
        self.calls += 1
        x = inputs + torch.rand_like(inputs) * 0.1 if self.training else inputs
        prediction = self.head(self.searched(x)).squeeze(1)
        if mode != 'loss':
            return prediction
        loss = (prediction - targets).square().mean()
        return dict(loss_toy=loss * float('nan') if self.calls == self.poison_at else loss)


@DATASETS.register_module()
class ToyData(Dataset):
    """Sixteen random points, of which augmentation shifts each by NumPy's global generator."""

    metainfo = dict(name='toy')

    def __init__(self, length=16):
        rng = np.random.default_rng(0)
        self.inputs = rng.standard_normal((length, 3)).astype(np.float32)
        self.targets = self.inputs.sum(1)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        shift = np.float32(np.random.rand() * 0.1)
        return dict(inputs=torch.from_numpy(self.inputs[index] + shift), targets=torch.tensor(self.targets[index]))


def toy_config(batch_size: int = 4) -> Config:
    """A config of sixteen points, written for four epochs."""
    loader = dict(batch_size=batch_size, num_workers=2, dataset=dict(type='ToyData'),
                  collate_fn=dict(type='default_collate'))
    return Config(dict(
        default_scope='mmengine', train_cfg=dict(max_epochs=4),
        model=dict(type='ToySupernet'),
        train_dataloader=dict(**loader, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True)),
        val_dataloader=dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=dict(type='DumpResults', out_file_path='unused.pkl'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.01)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
                         dict(type='MultiStepLR', milestones=[2, 3], gamma=0.1, by_epoch=True, begin=0, end=4)]))


def weights_of(runner) -> dict[str, torch.Tensor]:
    """All parameters and buffers."""
    return {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    """Whether two state dicts are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())
