"""The width multiplier as a searcher."""

import numpy as np
import pytest

from nasdet.searchers import UniformWidthSearcher
from nasdet.spaces import WidthSpace
from tests.spaces.test_widths import CLASSIFIER
from tests.toys import ToySpace


def test_it_proposes_all_widths_by_one_factor():
    space = WidthSpace(CLASSIFIER, (3, 32, 32), largest=8)
    searcher = UniformWidthSearcher(space, budget=4.0)
    proposal = searcher.ask(0, np.random.default_rng(0))
    widths, own = proposal.genotype.value['widths'], space.seed().value['widths']
    ratios = [widths[name] / own[name] for name in own]
    assert 2 < min(ratios) <= max(ratios) <= min(ratios) + 0.25     # one factor; four channels come in quarters
    assert 0.98 < space.cost(proposal.genotype) / space.cost(space.seed()) / 4 <= 1
    assert space.decode(proposal.tokens) == proposal.genotype
    searcher.asked(0, proposal)
    again = UniformWidthSearcher(space, budget=4.0)
    again.load_state_dict(searcher.state_dict())
    for asked in (searcher, again):
        assert asked.finished and asked.ask(1, np.random.default_rng(0)) is None


def test_another_space_is_refused():
    with pytest.raises(ValueError, match='scales the widths of a WidthSpace, and ToySpace has none'):
        UniformWidthSearcher(ToySpace(4))
