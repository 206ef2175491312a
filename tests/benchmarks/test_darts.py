"""The literal file that DARTS's step is compared with: the same network, the same gradients, the same training."""

import argparse
import re

import pytest
import torch

from benchmarks.darts import literal, step
from nasdet.models.meta import build_on_meta
from nasdet.spaces import DARTSSpace
from tests.benchmarks.helpers import run

CELLS, WIDTH, SIZE = 4, 2, 8


def test_the_literal_network_is_the_published_one():
    with torch.device('meta'):
        network = literal.Network(16, 8, 10)
    assert sum(weight.numel() for weight in network.weights()) == 1_930_618
    ours = build_on_meta(DARTSSpace().relaxed(step.model_config(8, 16))).backbone
    assert all(own.shape == other.shape for own, other in step.pairs(ours, network))
    assert len(list(step.pairs(ours, network))) == len(list(ours.parameters())) == len(list(network.parameters()))


@pytest.mark.parametrize('order', step.ORDERS)
def test_both_take_the_same_steps(order):
    """In float64, where nothing is rounded that a finite difference, or Adam, could enlarge."""
    args = argparse.Namespace(cells=CELLS, width=WIDTH)
    ours, theirs = step.sides(args, order, torch.float64)
    before = [parameter.detach().clone() for parameter in theirs.network.parameters()]
    for seed in range(2):
        data = step.batches(4, SIZE, torch.float64, seed)
        ours.step(*data)
        theirs.step(*data)
    for own, other in step.pairs(ours.model.backbone, theirs.network):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-11)
    assert not any(torch.equal(old, new) for old, new in zip(before, theirs.network.parameters(), strict=True))


@pytest.mark.slow
def test_the_command_compares_and_times(repo_root):
    said = run(repo_root, 'darts.step', '--steps', 1, '--batch', 2, '--cells', CELLS, '--width', WIDTH, '--size', SIZE)
    found = re.findall(r'order (\d): gradients differ by (\S+) .* literal / ours \d', said.stdout)
    assert [order for order, _ in found] == ['1', '2'], said.stdout
    assert all(float(difference) < step.LARGEST_DIFFERENCE for _, difference in found)
    assert said.returncode in (0, 1)        # as fast as wanted, or not
