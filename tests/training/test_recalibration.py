import pytest
import torch
from torch import nn

from nasdet.training.recalibration import PooledStatistics, recalibrated
from tests.training.toys import ChoiceBlock, same


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_statistics_are_those_of_the_concatenated_sample():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3).double()
    batches = [torch.randn(n, 3, size, size, dtype=torch.double) * 2 + 10 * n for n, size in ((4, 5), (2, 3), (7, 1))]
    with recalibrated(layer, batches, layer):
        pooled = torch.cat([batch.transpose(0, 1).flatten(1) for batch in batches], 1)
        torch.testing.assert_close(layer.running_mean, pooled.mean(1), rtol=1e-12, atol=0)
        torch.testing.assert_close(layer.running_var, pooled.var(1, unbiased=True), rtol=1e-12, atol=0)
        assert not layer.training and layer.momentum == 0.1


def test_spread_of_batch_means_is_a_part_of_the_variance():
    statistics = PooledStatistics()
    for mean in (-1.0, 1.0):
        statistics.add(2, torch.tensor([mean]), torch.tensor([0.0]))
    assert statistics.variance.item() == pytest.approx(4 / 3)       # of -1, -1, 1, 1


def test_a_layer_used_twice_pools_both_uses():
    layer = nn.BatchNorm1d(2).double()
    first, second = torch.randn(5, 2).double(), torch.randn(3, 2).double() + 4
    with recalibrated(layer, [None], lambda _: (layer(first), layer(second))):
        torch.testing.assert_close(layer.running_mean, torch.cat([first, second]).mean(0))


def test_only_layers_of_the_path_change_and_everything_is_restored_bitwise():
    torch.manual_seed(0)
    model = nn.Sequential(ChoiceBlock(), nn.Dropout(0.5)).train()
    model[0].set_path(dict(block=2))
    batches = [torch.randn(4, 3) for _ in range(3)]
    model(batches[0])       # running statistics that are not the initial ones
    before = state(model)
    with recalibrated(model, batches, model):
        inside = state(model)
        changed = {name for name in before if not torch.equal(before[name], inside[name])}
        assert {name for name in changed if 'tracked' not in name} == {'0.blocks.2.1.running_mean',
                                                                      '0.blocks.2.1.running_var'}
        assert torch.equal(model(batches[0]), model(batches[0]))    # no dropout, no batch statistics
    assert same(before, state(model))
    assert all(module.training for module in model.modules())


def test_layers_outside_the_given_modules_stay():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    with recalibrated(model, [torch.randn(8, 2)], model, modules=[model[1]]):
        assert torch.equal(model[0].running_mean, torch.zeros(2))
        assert not torch.equal(model[1].running_var, torch.ones(2))


def test_restored_after_an_error_too():
    model = nn.BatchNorm1d(2)
    before = state(model)
    with pytest.raises(ZeroDivisionError):
        with recalibrated(model, [torch.randn(8, 2)], model):
            raise ZeroDivisionError
    assert same(before, state(model)) and model.training and model.momentum == 0.1
    with pytest.raises(ValueError, match='at least one batch'):
        with recalibrated(model, [], model):
            pass
    assert same(before, state(model)) and model.momentum == 0.1
