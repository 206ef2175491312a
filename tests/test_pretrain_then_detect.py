"""docs/search_a_classifier.md, "Into a detector": a searched cell is pre-trained and detects, by config alone."""

import itertools
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

from nasdet import cli
from nasdet.config import load_config
from nasdet.registry import SPACES, build
from nasdet.spaces import detector
from nasdet.training.pretrained import check_pretrained

PAGE = (Path(__file__).parents[1] / 'docs' / 'search_a_classifier.md').read_text().partition('## Into a detector')[2]
FILES = dict(re.findall(r'^`([\w.]+)`[^\n]*:\n\n```python\n(.*?)^```$', PAGE, flags=re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r'^```bash\n(.*?)^```$', PAGE, flags=re.MULTILINE | re.DOTALL)[0].splitlines()
DETECTORS = ['cell_retinanet.py', 'cell_faster_rcnn.py']
SEARCH = 'nasdet::darts/darts_digits_second_order.py'
# What makes the page's sequence small: numbers in files and commands, and options of the commands by their first words.
FEWER = {'epoch_20.pth': 'epoch_1.pth', 'epoch_5.pth': 'epoch_1.pth', '-800-200-400-': '-16-8-8-'}
OPTIONS = {
    'nasdet search': ['--cfg-options', 'search.trainer.epochs=1', 'search.data.train_size=64',
                      'search.data.val_size=64', 'search.data.test_size=64'],
    'nasdet train cell_classifier.py': ['--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0',
                                        'train_dataloader.dataset.train_size=128', 'val_dataloader.num_workers=0'],
    'nasdet digits': ['--train', '16', '--val', '8', '--test', '8'],
    'nasdet train cell_': ['--cfg-options', 'train_cfg.max_epochs=1'],
    # MMDetection's metric says nothing where nothing is detected.
    'nasdet test cell_retinanet.py': ['--cfg-options', 'model.test_cfg.score_thr=0.0'],
    'nasdet test cell_faster_rcnn.py': ['--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0']}
names = itertools.count()


def fewer(text: str) -> str:
    for number, smaller in FEWER.items():
        text = text.replace(number, smaller)
    return text


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with the page's files, in which its commands are given."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_the_sequence_is_the_one_that_is_run():
    assert set(FILES) == {'cell.py', 'cell_classifier.py', 'cell_detection.py', *DETECTORS}
    assert [' '.join(command.split()[:3]) for command in COMMANDS] == [
        f'nasdet search {SEARCH}', 'nasdet train cell_classifier.py', 'nasdet digits data/digits',
        *(f'nasdet {step} {name}' for name in DETECTORS for step in ('train', 'test'))]
    searched, trained = (set(re.findall(r'work_dirs/[\w/.]+', text)) for text in (COMMANDS[0], ''.join(FILES.values())))
    assert trained == {f'{searched.pop()}/best/genotype.json', 'work_dirs/cell_classifier/epoch_20.pth'}


@pytest.mark.parametrize('name', DETECTORS)
def test_the_pretrained_cell_is_the_detectors_backbone(folder, name):
    space = build(SPACES, load_config(SEARCH).search.space)
    genotype = space.sample(np.random.default_rng(0))
    (folder / 'work_dirs' / 'cell' / 'best').mkdir(parents=True)
    (folder / 'work_dirs' / 'cell' / 'best' / 'genotype.json').write_text(genotype.to_json())
    init_default_scope('mmdet')
    classifier = MODELS.build(load_config('cell_classifier.py').model)
    assert classifier.backbone.fc.out_features == 10
    (folder / 'work_dirs' / 'cell_classifier').mkdir()
    torch.save(dict(state_dict=classifier.state_dict()), folder / 'work_dirs' / 'cell_classifier' / 'epoch_20.pth')

    model = load_config(name).model
    assert model.neck.in_channels == detector.backbone_channels(model.backbone)
    detector.check(model)
    detector.check_channels(model)
    check_pretrained(model)
    built = MODELS.build(model)
    built.init_weights()
    trained, own = classifier.backbone.state_dict(), built.backbone.state_dict()
    assert own.keys() == trained.keys() - {'fc.weight', 'fc.bias'}
    assert all(torch.equal(tensor, trained[key]) for key, tensor in own.items())
    for part in ('mean', 'std'):
        assert torch.equal(getattr(built.data_preprocessor, part), getattr(classifier.data_preprocessor, part))
    images = demo_mm_inputs(2, [[3, 128, 128], [3, 96, 128]], num_items=[3, 2], num_classes=10)
    loss, _ = built.parse_losses(built(**built.data_preprocessor(images, True), mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    for key, parameter in built.backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


@pytest.mark.slow
def test_search_pretrain_detect_and_test(folder):
    for path in folder.glob('*.py'):
        path.write_text(fewer(path.read_text()))
    for command in COMMANDS:
        options = next(options for first, options in OPTIONS.items() if command.startswith(first))
        if command.split()[1] in ('train', 'test'):     # mmengine keeps a logger by name for a process's life
            options = [*options, f'experiment_name=cell_{next(names)}']
        assert cli.main([*shlex.split(fewer(command))[1:], *options]) == 0
    for name in DETECTORS:
        figures = max((folder / 'work_dirs' / Path(name).stem).glob('*/*.json'))
        assert 0 <= json.loads(figures.read_text())['coco/bbox_mAP'] <= 1
