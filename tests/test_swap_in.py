"""docs/swap_in_a_neck.md, followed to the letter: its configs fit together, and train and test with stock tools."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config

from nasdet.config import load_config
from nasdet.datasets import prepare
from nasdet.export import detector_config
from nasdet.spaces import detector

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'swap_in_a_neck.md').read_text()
FILES = dict(re.findall(r'^`([\w.]+)`:\n\n```python\n(.*?)^```$', PAGE, flags=re.MULTILINE | re.DOTALL))
CONFIGS = ['retinanet.py', 'fcos.py', 'faster_rcnn.py']
TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


@pytest.mark.parametrize('name', CONFIGS)
def test_the_neck_fits_the_detector(name, tmp_path):
    (tmp_path / name).write_text(FILES[name])
    model = load_config(str(tmp_path / name)).model
    assert model.neck.type == 'MergingCellFPN'
    detector.check(model)
    detector.check_channels(model)


def test_apply_writes_a_config_that_fits(tmp_path):
    (tmp_path / 'swap.py').write_text(FILES['swap.py'])
    subprocess.run([sys.executable, 'swap.py'], cwd=tmp_path, check=True, env=environment())
    model = Config.fromfile(tmp_path / 'mask_rcnn_nas_fpn.py').model
    detector.check(model)
    assert model.roi_head.mask_roi_extractor.featmap_strides == [8, 16, 32, 64]
    detector.check_channels(model)


def environment() -> dict:
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_stock_tools_train_and_test_it(name, tmp_path):
    """One epoch on a few of the built-in pictures; the backbone starts from scratch, since nothing is downloaded."""
    (tmp_path / name).write_text(FILES[name])
    config = load_config(str(tmp_path / name))
    config.search = dict(data=dict(type='digits', train=8, val=2, test=4, size=128))
    config.model.backbone.init_cfg = None
    config.model.neck.norm_cfg = dict(type='BN')
    config.train_cfg.max_epochs = 1
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        steps = loader.dataset.pipeline
        for step in steps:
            if step.type == 'Resize':
                step.scale = (128, 128)
    prepared = prepare(config, tmp_path / 'data')
    detector_config(prepared, prepared.model).dump(tmp_path / 'config.py')
    for tool, *rest in (('train.py',), ('test.py', tmp_path / 'work' / 'epoch_1.pth')):
        done = subprocess.run([sys.executable, TOOLS / tool, tmp_path / 'config.py', *rest, '--work-dir',
                               tmp_path / 'work'], env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / 'work').glob('*/*.json'))
