import numpy as np

from nasdet.searchers import RandomSearcher
from tests.toys import ToySpace


def run(searcher, trials):
    for trial in range(trials):
        proposal = searcher.ask(trial, np.random.default_rng(trial))
        searcher.asked(trial, proposal)
        yield searcher.space.key(proposal.genotype)


def test_dedup_proposes_new_networks_while_it_finds_them():
    space = ToySpace(3)
    assert len(set(run(RandomSearcher(space, dedup=True), 60))) == 60
    assert len(set(run(RandomSearcher(space), 60))) < 60


def test_a_space_that_is_used_up_is_repeated():
    keys = list(run(RandomSearcher(ToySpace(1), dedup=True), 5))
    assert len(set(keys[:3])) == 3 == len(set(keys))


def test_draws_are_independent_without_dedup():
    keys = list(run(RandomSearcher(ToySpace(1)), 900))
    counts = [keys.count(key) for key in set(keys)]
    assert len(counts) == 3 and min(counts) > 240
