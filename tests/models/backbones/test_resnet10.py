import pytest
import torch
from mmdet.registry import MODELS

from nasdet.models.backbones import ResNet10


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_reference_codes_parameters():
    backbone = ResNet10()
    assert parameters(backbone) == 4_910_016
    assert [len(getattr(backbone, name)) for name in backbone.res_layers] == [1, 1, 1, 1]
    assert parameters(backbone.layer1[0].downsample) == 64 * 64 + 2 * 64


def test_the_first_projection_takes_part():
    backbone = ResNet10()
    backbone.eval()
    image = torch.rand(1, 3, 64, 64)
    before = backbone(image)[0]
    torch.nn.init.zeros_(backbone.layer1[0].downsample[0].weight)
    assert not torch.allclose(before, backbone(image)[0])


def test_strides_and_widths():
    maps = MODELS.build(dict(type='ResNet10'))(torch.rand(2, 3, 96, 64))
    assert [tuple(feature.shape) for feature in maps] == [
        (2, 64, 24, 16), (2, 128, 12, 8), (2, 256, 6, 4), (2, 512, 3, 2)]


def test_freezing_the_first_stage_freezes_its_projection():
    backbone = ResNet10(frozen_stages=1)
    assert not any(parameter.requires_grad for parameter in backbone.layer1.parameters())
    assert all(parameter.requires_grad for parameter in backbone.layer2.parameters())


def test_another_depth_is_refused():
    with pytest.raises(KeyError, match='invalid depth 50'):
        ResNet10(depth=50)
