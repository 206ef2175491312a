"""The pyramid that children of different widths share, against mmdet's FPN of each."""

import pytest
import torch
from mmdet.models import FPN

from nasdet.models.layers.elastic import part_of
from nasdet.models.necks import ElasticFPN
from tests.models.backbones.mbconv_helpers import drawn_children, mbconv_choices

STAGES = (1, 2, 3)


@pytest.mark.parametrize('options', [
    dict(num_outs=3), dict(num_outs=4, start_level=1, add_extra_convs='on_input', norm_cfg=dict(type='BN'))])
def test_a_child_is_its_extract(options):
    torch.manual_seed(0)
    shared = ElasticFPN([24, 24, 48], STAGES, out_channels=8, **options)
    shared.init_weights()
    spread = shared.lateral_convs[-1].conv.weight.std().item()
    assert spread == pytest.approx((2 / 56) ** 0.5, rel=0.2)     # mmdet initialises it as its own
    for value in drawn_children(mbconv_choices(), 4):
        shared.set_path(value)
        alone = shared.extract(value)
        assert type(alone) is FPN
        maps = [torch.randn(2, value['stages'][index]['channels'], 8 // 2 ** place, 8 // 2 ** place)
                for place, index in enumerate(STAGES)]
        results = []
        for neck in (shared, alone):
            outputs = neck(maps)
            neck.zero_grad(set_to_none=True)
            sum(output.square().sum() for output in outputs).backward()
            results.append(outputs)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
        own = dict(shared.named_parameters())
        for name, parameter in alone.named_parameters():
            assert torch.equal(part_of(own[name].grad, parameter.shape), parameter.grad), name


def test_it_refuses_other_convolutions():
    with pytest.raises(ValueError, match='leave conv_cfg=.* out'):
        ElasticFPN([8], (0,), out_channels=8, num_outs=1, conv_cfg=dict(type='DCN'))
