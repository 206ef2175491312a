import pytest
import torch
from mmengine.config import Config
from torch import nn

from nasdet.training.precision import inference_context, keep_outputs_exact, use_mixed_precision


def test_neck_and_heads_return_float32_and_compute_in_less():
    model = nn.ModuleDict(dict(backbone=nn.Linear(4, 4), neck=nn.Linear(4, 4)))
    x = torch.randn(2, 4)
    with inference_context(True):
        before = model['neck'](x)
    keep_outputs_exact(model)
    with inference_context(True):
        after = model['neck'](x)
        assert model['backbone'](x).dtype != torch.float32
    assert after.dtype == torch.float32 and before.dtype != torch.float32
    assert torch.equal(before.float(), after) and not torch.equal(model['neck'](x), after)
    with inference_context(False):
        assert torch.equal(model['neck'](x), nn.functional.linear(x, model['neck'].weight, model['neck'].bias))


def test_an_optimiser_wrapper_of_its_own_is_refused():
    with pytest.raises(ValueError, match="is 'Mine': leave amp off"):
        use_mixed_precision(Config(dict(optim_wrapper=dict(type='Mine'))))
