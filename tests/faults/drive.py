"""Small searches for tests that kill them: ``drive`` and ``drive_supernet`` are what a process of its own runs."""

import os
from pathlib import Path

import torch
from mmengine.config import Config

import tests.toys  # noqa: F401 - registers the toys
from nasdet.search import Search

TRIALS = 40
BASE = Path(__file__).parents[2] / 'configs' / '_base_'
STAGE = dict(depth=(1, 2), kernel=(3, 5), expansion=(2,), stride=2, se=False)


def toy_config(log: Path, slots: int = 1, searcher: str = 'EvolutionSearcher', **changes) -> Config:
    """Return a search config over the toy space whose workers log every evaluation to a file."""
    searchers = dict(EvolutionSearcher=dict(type='EvolutionSearcher', population=8, sample=3),
                     RandomSearcher=dict(type='RandomSearcher'),
                     ReinforceSearcher=dict(type='ReinforceSearcher'))
    engine = dict(type='InlineEngine') if slots == 0 else dict(type='LocalEngine', slots=slots, preload=[])
    estimator = dict(type='ToyEstimator', noise=0.05, seconds=0.03, log=str(log))
    search = dict(space=dict(type='ToySpace', num_decisions=5), searcher=searchers[searcher], estimator=estimator,
                  objective='score', engine=engine, budget=dict(trials=TRIALS), seed=3)
    return Config(dict(custom_imports=dict(imports=['tests.toys'], allow_failed_imports=False),
                       search={**search, **changes}))


def supernet_config(kind: str) -> Config:
    """Return a search config that trains a supernet for two epochs, with a worker that loads its data.

    Args:
        kind: ``'paths'`` of necks, one an iteration, or a sandwich of elastic backbones: ``'detector sandwich'`` or
            ``'classifier sandwich'``.
    """
    cfg = classifier_config() if kind == 'classifier sandwich' else detector_config()
    cfg.search.update(
        searcher=dict(type='RandomSearcher'), engine=dict(type='InlineEngine'), budget=dict(trials=2),
        estimator=dict(type='SupernetEstimator', epochs=2, recalibration_images=4, train_threads=1, num_workers=1))
    if kind == 'paths':
        cfg.search.space = dict(type='MergingCellSpace', num_cells=6, neck=dict(out_channels=8, stack_times=1))
    else:
        stages = [dict(STAGE, channels=(8, 16)) for _ in range(4)]
        cfg.search.space = dict(type='ElasticSpace', stages=stages, stem_channels=(8,), resolution=(48, 64),
                                backbone=dict(head=kind == 'classifier sandwich', drop_path=0.2))
        cfg.search.estimator.sandwich = dict(random_children=1)
    return cfg


def detector_config() -> Config:
    """Return a small RetinaNet and a few pictures."""
    cfg = merged('models/retinanet_r18_small.py', 'datasets/coco_small.py', 'schedules/adamw_cosine.py')
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.train_dataloader.batch_size = 4
    cfg.search = dict(data=dict(type='digits', train=40, val=4, test=4, size=64))
    return cfg


def classifier_config() -> Config:
    """Return a classifier, which a space replaces, and a few digits."""
    cfg = merged('classification/digits.py', 'classification/runtime.py')
    cfg.model = dict(type='ImageClassifier', backbone=dict(num_classes=10), data_preprocessor=cfg.data_preprocessor)
    cfg.train_dataloader.batch_size = 8
    cfg.search = dict(data=dict(type='HandwrittenDigits', size=32, train_size=40, val_size=20, test_size=20),
                      objective='accuracy/top1')
    return cfg


def merged(*names: str) -> Config:
    """Return the contents of files of ``configs/_base_`` as one config."""
    cfg = Config()
    for name in names:
        cfg.merge_from_dict(Config.fromfile(str(BASE / name)).to_dict())
    return cfg


def drive(work_dir: str, slots: int, window: int, errors: str) -> None:
    """Run the search of a work dir to its end, and write to a file what it says."""
    say_to(errors)
    Search.from_cfg(toy_config(Path(work_dir) / 'evaluations.log', slots, window=window), work_dir).run()


def drive_supernet(work_dir: str, errors: str, kind: str) -> None:
    """Run the supernet search of a work dir to its end, and write to a file what it says."""
    say_to(errors)
    torch.set_num_threads(1)
    Search.from_cfg(supernet_config(kind), work_dir).run()


def say_to(path: str) -> None:
    """Append all that this process says to a file."""
    with open(path, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
