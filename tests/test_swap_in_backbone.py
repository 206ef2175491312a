"""docs/swap_in_a_backbone.md, followed to the letter: its detectors train and predict, its weights arrive."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nasdet import zoo
from nasdet.config import load_config
from nasdet.registry import SPACES, build
from nasdet.spaces import detector
from nasdet.training.pretrained import check_pretrained
from tests.convert.test_megvii import filled, official_shapes, supernet_shapes
from tests.models.backbones.helpers import HEAD, STAGES, STEM

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'swap_in_a_backbone.md').read_text()
FILES = dict(re.findall(r'^`([\w.]+)`[^\n]*:\n\n```python\n(.*?)^```$', PAGE, flags=re.MULTILINE | re.DOTALL))
CONFIGS = ['retinanet.py', 'fcos.py', 'faster_rcnn.py', 'mask_rcnn.py']


def read(name, folder):
    (folder / name).write_text(FILES[name])
    return load_config(str(folder / name)).model


def narrow(model):
    """Make neck and heads thin: the backbone is what is looked at."""
    model.neck.out_channels = 32
    model = detector.neck_width_to_heads(model, 32)
    for name in ('bbox_head', 'rpn_head'):
        if name in model:
            model[name].feat_channels = 32
    if 'roi_head' in model:
        model.roi_head.bbox_head.fc_out_channels = 32
        model.train_cfg.rcnn.sampler.num = 16
        if 'mask_head' in model.roi_head:
            model.roi_head.mask_head.conv_out_channels = 16
    (model.test_cfg.rcnn if 'roi_head' in model else model.test_cfg).update(score_thr=0.0, max_per_img=5)
    return model


def run(script, folder, *arguments):
    (folder / script).write_text(FILES[script])
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    subprocess.run([sys.executable, script, *arguments], cwd=folder, check=True, env=environment)


def test_every_file_of_the_page_is_tried():
    assert set(FILES) == {*CONFIGS, 'rename.py', 'swap.py'} and PAGE.count('```') == 2 * len(FILES)


@pytest.mark.parametrize('name', CONFIGS)
def test_the_detector_trains_and_predicts(name, tmp_path):
    model = read(name, tmp_path)
    detector.check(model)
    detector.check_channels(model)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    built = MODELS.build(narrow(model))
    built.init_weights()
    images = demo_mm_inputs(2, [[3, 128, 128], [3, 96, 128]], num_items=[3, 2], num_classes=80, with_mask=True)
    prepared = built.data_preprocessor(images, True)
    assert torch.equal(prepared['inputs'][0], images['inputs'][0].float())     # BGR, 0 to 255
    loss, _ = built.parse_losses(built(**prepared, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    for key, parameter in built.backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    built.eval()
    with torch.no_grad():
        results = built(**built.data_preprocessor(images, False), mode='predict')
    for result in results:
        assert result.pred_instances.bboxes.shape == (5, 4) and result.pred_instances.bboxes.isfinite().all()


def test_official_weights_arrive_in_the_detector(tmp_path):
    genotype = zoo.load('detnas_coco_retinanet_300m').plain()
    stages = [(stage['channels'], stage['blocks']) for stage in genotype['stages']]
    official = filled(official_shapes(16, stages, 1024, 1000))
    torch.save(dict(epoch=1, state_dict={f'module.{name}': tensor for name, tensor in official.items()}),
               tmp_path / 'downloaded.pth.tar')
    run('rename.py', tmp_path, 'downloaded.pth.tar', 'renamed.pth')
    backbone = read('retinanet.py', tmp_path).backbone
    backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'renamed.pth'), prefix='backbone.')
    check_pretrained(dict(backbone=backbone))
    init_default_scope('mmdet')
    built = MODELS.build(backbone)
    built.init_weights()
    renamed = torch.load(tmp_path / 'renamed.pth', weights_only=True)
    assert len(renamed) == len(official)
    assert all(torch.equal(tensor, renamed[f'backbone.{name}']) for name, tensor in built.state_dict().items())


def test_the_official_supernet_arrives_where_a_search_starts(tmp_path):
    """The search config of the paper, with the space of a small supernet and another file name."""
    official = filled(supernet_shapes())
    torch.save(dict(state_dict=official), tmp_path / 'downloaded.pth.tar')
    run('rename.py', tmp_path, 'downloaded.pth.tar', 'renamed.pth')
    config = load_config(str(ROOT / 'configs' / 'detnas' / 'retinanet_300m_coco_evolution.py'))
    settings = config.search.space.to_dict()
    settings['backbone']['init_cfg']['checkpoint'] = str(tmp_path / 'renamed.pth')
    settings.update(preset=None, stages=STAGES, stem_channels=STEM, head_channels=HEAD)
    config.model.neck.in_channels = config.model.neck.in_channels[:len(STAGES)]
    supernet = build(SPACES, settings).supernet(config.model)
    check_pretrained(supernet, 'search.space')
    init_default_scope('mmdet')
    built = MODELS.build(supernet.backbone)
    built.init_weights()
    renamed = torch.load(tmp_path / 'renamed.pth', weights_only=True)
    assert all(torch.equal(tensor, renamed[f'backbone.{name}']) for name, tensor in built.state_dict().items())


def test_apply_writes_a_config_that_fits(tmp_path):
    run('swap.py', tmp_path)
    model = Config.fromfile(tmp_path / 'mask_rcnn_detnas.py').model
    assert model.neck.in_channels == [64, 160, 320, 640] and model.data_preprocessor.mean == [0, 0, 0]
    assert model.backbone.genotype == zoo.load('detnas_coco_fpn_300m').plain()
    detector.check(model)
    detector.check_channels(model)
