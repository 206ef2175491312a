"""Images resized by the model itself: what it does to annotations, and that boxes come back to the original image."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

from nasdet.models.resized_input import (
    ElasticDetDataPreprocessor,
    ResizingDetDataPreprocessor,
    input_shape_of,
    resized,
)
from tests.training.detectors import elastic_space, small_retinanet

SHAPES = [(3, 40, 80), (3, 64, 32)]
OPTIONS = dict(mean=[100.0] * 3, std=[50.0] * 3, pad_size_divisor=16)


def samples(**changes):
    return demo_mm_inputs(2, SHAPES, num_classes=3, **changes)


@pytest.mark.parametrize('options', [dict(), dict(use_box_type=True), dict(with_mask=True)])
def test_images_and_annotations_are_resized_together(options):
    data = samples(**options)
    boxes = [torch.as_tensor(sample.gt_instances.bboxes.numpy()) for sample in data['data_samples']]
    preprocess = ResizingDetDataPreprocessor(side=60, pad_mask=bool(options.get('with_mask')), **OPTIONS)
    for _ in range(2):      # a search reads the same samples again and again
        out = preprocess(data, True)
        assert out['inputs'].shape == (2, 3, 64, 64)
        assert [sample.img_shape for sample in out['data_samples']] == [(30, 60), (60, 30)]
        assert [sample.ori_shape for sample in out['data_samples']] == [(40, 80), (64, 32)]
        for sample, before, factor in zip(out['data_samples'], boxes, (60 / 80, 60 / 64), strict=True):
            torch.testing.assert_close(sample.gt_instances.bboxes, before * factor)
            first = data['data_samples'][0].scale_factor
            assert sample.scale_factor == pytest.approx([factor * first[0], factor * first[1]])
            if 'masks' in sample.gt_instances:
                assert sample.gt_instances.masks.masks.shape[1:] == (64, 64)
    expected = (resized(data['inputs'][0], 60) - 100) / 50
    assert torch.equal(out['inputs'][0, :, :30, :60], expected) and not out['inputs'][0, :, 30:].any()


def test_images_of_the_side_are_left_as_they_are():
    data = samples()
    plain = MODELS.build(dict(type='mmdet.DetDataPreprocessor', **OPTIONS))
    ours = ResizingDetDataPreprocessor(side=80, **OPTIONS)
    assert torch.equal(ours(data)['inputs'][0, :, :40], plain(data)['inputs'][0, :, :40])
    assert ours(dict(inputs=data['inputs'], data_samples=None))['data_samples'] is None


def test_predicted_boxes_are_those_of_the_original_image():
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = elastic_space().apply(elastic_space().smallest(), small_retinanet())
    model.test_cfg.update(score_thr=0.0)
    detector = MODELS.build(model).eval()
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    larger = resized(image, 128)
    detectors = [detector, MODELS.build({**model, 'data_preprocessor': dict(
        model.data_preprocessor, type='ResizingDetDataPreprocessor', side=128)}).eval()]
    detectors[1].load_state_dict(detector.state_dict())
    sample = demo_mm_inputs(1, [(3, 32, 64)])['data_samples'][0]
    of_larger = demo_mm_inputs(1, [(3, 64, 128)])['data_samples'][0]
    sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    of_larger.set_metainfo(dict(scale_factor=(2.0, 2.0)))     # as after the Resize of a data pipeline
    with torch.no_grad():
        found = [network.test_step(dict(inputs=[inputs], data_samples=[annotations]))[0].pred_instances
                 for network, inputs, annotations in zip(detectors, (larger, image), (of_larger, sample), strict=True)]
    assert len(found[0]) > 0
    torch.testing.assert_close(found[0].bboxes, found[1].bboxes)
    assert torch.equal(found[0].scores, found[1].scores)


def test_a_supernets_follows_the_path():
    preprocess = ElasticDetDataPreprocessor(sides=[32, 48], **OPTIONS)
    assert preprocess.side == 48 and not preprocess.state_dict()
    preprocess.set_path(dict(resolution=32))
    assert preprocess(samples())['inputs'].shape == (2, 3, 32, 32)
    assert preprocess.extract(dict(resolution=48)).side == 48 and preprocess.side == 32
    with pytest.raises(ValueError, match=r'the resolutions \[32, 48\], the genotype has 40'):
        preprocess.set_path(dict(resolution=40))


def test_the_shape_that_a_network_is_given():
    assert input_shape_of(dict(data_preprocessor=dict(side=320)), (3, 800, 1333)) == (3, 192, 320)
    assert input_shape_of(dict(data_preprocessor=dict()), (3, 64, 96)) == (3, 64, 96)
