"""The drop-path schedule within a training of a cell network with its auxiliary head."""

import itertools

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

import nasdet.models  # noqa: F401 - registers
import nasdet.training  # noqa: F401 - registers

CELLS = dict(type='mmdet.CellNetwork', genotype='darts_v1_cifar', num_cells=(1, 1, 1), width=4, num_classes=3,
             auxiliary=True, auxiliary_head=dict(kernel=2), drop_path=0.4)

numbers = itertools.count()     # mmengine keeps loggers by name and second; pytest gives a folder's name again


class Noise(Dataset):
    """Eight images of noise."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index)),
                    data_samples=index % 3)


class Watch(Hook):
    """Keeps what the last cell drops, and the losses, in each iteration."""

    def __init__(self):
        self.dropped, self.losses = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.dropped.append(runner.model.backbone.cells[-1].drop_prob)
        self.losses.append({name: value.item() for name, value in outputs.items()})


def train(work_dir, backbone, **schedule):
    watch = Watch()
    loader = dict(batch_size=4, dataset=Noise(), sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=dict(type='default_collate'))
    Runner(model=dict(type='mmdet.ImageClassifier', backbone=backbone), work_dir=str(work_dir),
           train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=2),
           optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
           custom_hooks=[dict(type='DropPathScheduleHook', **schedule), watch],
           default_hooks=dict(checkpoint=None), log_level='ERROR', default_scope='mmengine',
           experiment_name=f'drop_path_{next(numbers)}').train()
    return watch


@pytest.mark.parametrize('by_epoch, progress', [(False, [0.0, 0.25, 0.5, 0.75]), (True, [0.0, 0.0, 0.5, 0.5])])
def test_it_grows_and_the_auxiliary_loss_is_trained_with_its_weight(tmp_path, by_epoch, progress):
    watch = train(tmp_path, CELLS, by_epoch=by_epoch)
    assert watch.dropped == pytest.approx([0.4 * share for share in progress])
    for losses in watch.losses:
        assert losses['loss'] == pytest.approx(losses['loss_class'] + losses['loss_auxiliary'])
        assert 0.2 < losses['loss_auxiliary'] < 0.8     # 0.4 of about ln 3


def test_a_model_without_drop_path_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no part of this model has a drop-path to schedule'):
        train(tmp_path, dict(type='mmdet.DetNASNet', genotype='detnas_coco_fpn_300m', head=True, num_classes=3))
