"""The two layouts whose training steps are compared."""

import torch

from benchmarks import layout
from nasdet import zoo


def test_the_default_layout_is_kept_where_it_is_asked_for():
    network = zoo.build('darts_v2_cifar', 10, width=4, num_cells=(1, 1, 1), out_indices=(1,)).train()
    images = torch.randn(2, 3, 8, 8)
    with layout.default_layout():
        assert network(images)[0].is_contiguous()
    assert network(images)[0].is_contiguous(memory_format=torch.channels_last)


def test_both_sides_make_steps():
    path = layout.CONFIGS / 'enas' / 'enas_macro_digits_search.py'
    times = list(layout.steps(path, networks=2, number=1))
    assert len(times) == 2 and all(min(pair) > 0 for pair in times)
