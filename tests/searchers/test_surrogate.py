"""The surrogates of progressive search: what they read, what they see, and that they learn."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats

from nasdet.searchers.surrogate import SURROGATES, Ensemble, Reader
from nasdet.spaces import PNASSpace
from tests.spaces.helpers import every_genotype
from tests.toys import ToySpace

SPACE = PNASSpace(3, ('sep3', 'max3', 'id'))
SMALL = dict(members=3, hidden=12, minibatch=8)


def cells(blocks, number=None):
    """Different canonical cells of so many blocks, in an order of no meaning."""
    found = [None]
    for _ in range(blocks):
        found = list(dict.fromkeys(longer for cell in found for longer in SPACE.extensions(cell)))
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:number]]


def planted(genotype):
    """A reward in 0..1: separable convolutions on the previous cell's output pay."""
    halves = [half for block in genotype.value['normal']['blocks'] for half in (block[:2], block[2:])]
    return 0.5 + 0.4 * np.mean([(op == 'sep3') * (1.0 if state == 1 else 0.5) for state, op in halves])


def fitted(kind, genotypes, rewards=None, **options):
    ensemble = Ensemble(SPACE, kind, **{**SMALL, **options})
    ensemble.fit(genotypes, rewards or [planted(genotype) for genotype in genotypes], lr=0.01, epochs=20)
    return ensemble


def test_a_sentence_is_the_four_decisions_of_each_block():
    genotype = SPACE.decode((1, 0, 1, 2, 0, 2, 1, 1, 1))     # two blocks: states 0, 1, ops 2, 0; states 2, 1, ops 1, 1
    read = Reader(SPACE)
    sentences = read([genotype, SPACE.decode((0, 0, 0, 0, 0))])
    states, ops = read.first['state'], read.first['op']
    assert sentences.tokens.tolist() == [
        [[states, states + 1, ops + 2, ops], [states + 2, states + 1, ops + 1, ops + 1]],
        [[states, states, ops, ops], [0, 0, 0, 0]]]
    assert sentences.blocks.tolist() == [2, 1]
    assert read.words == sum(len(words) for words in SPACE.vocab.values())


def test_blocks_of_unequal_length_are_refused():
    space = ToySpace(4)     # a width follows a convolution only
    with pytest.raises(ValueError, match='ToySpace: its blocks have .* decisions, and a surrogate reads'):
        Reader(space)(list(every_genotype(space))[:50])


@pytest.mark.parametrize('kind', SURROGATES)
def test_what_follows_the_last_block_counts_for_nothing(kind):
    ensemble = fitted(kind, cells(1))
    small, large = cells(1, 5), [SPACE.decode((2, *tokens)) for tokens in ((0, 1, 0, 1) * 3, (1, 1, 2, 0) * 3)]
    alone = np.concatenate([ensemble.predict(small), ensemble.predict(large)])
    np.testing.assert_allclose(ensemble.predict(small + large), alone, rtol=1e-6)


def test_the_mlp_knows_blocks_and_the_lstm_their_order():
    """Two blocks that do not read each other, in either order: one bag of blocks, two sequences."""
    swapped = [SPACE.decode((1, *one, *other)) for one, other in (((0, 1, 0, 1), (1, 1, 2, 2)),
                                                                   ((1, 1, 2, 2), (0, 1, 0, 1)))]
    mlp, lstm = (fitted(kind, cells(1)).predict(swapped) for kind in ('mlp', 'lstm'))
    assert mlp[0] == pytest.approx(mlp[1], rel=1e-6) and lstm[0] != pytest.approx(lstm[1], rel=1e-4)


@pytest.mark.parametrize('kind', SURROGATES)
def test_it_starts_from_the_mean_reward(kind):
    """1.8 is the paper's bias for a mean of 0.86."""
    ensemble = Ensemble(SPACE, kind, init=0.0, **SMALL)
    ensemble.fit(cells(1, 4), [0.81, 0.86, 0.91, 0.86], lr=0.01, epochs=0)
    np.testing.assert_allclose(ensemble.predict(cells(2, 3)), 0.86, rtol=1e-6)
    assert ensemble.networks[0].head.bias.item() == pytest.approx(1.8, abs=0.02)


@pytest.mark.parametrize('kind', SURROGATES)
def test_each_member_sees_all_but_its_share(kind):
    genotypes, rewards = cells(1, 15), [0.5] * 15
    rewards[2], rewards[12] = 0.3, 0.7      # both of the share of member 2
    swapped = [*rewards[:2], 0.7, *rewards[3:12], 0.3, *rewards[13:]]
    members = [fitted(kind, genotypes, data, members=5).state_dict()['members'] for data in (rewards, swapped)]
    assert [one == other for one, other in zip(*members, strict=True)] == [False, False, True, False, False]
    assert all(one != other for one, other in itertools.combinations(members[0], 2))


@pytest.mark.parametrize('kind', SURROGATES)
def test_a_fit_is_a_function_of_data_and_seed(kind):
    genotypes = cells(1)
    one, same, other = (fitted(kind, genotypes, seed=seed) for seed in (0, 0, 1))
    assert one.state_dict() == same.state_dict() != other.state_dict()


@pytest.mark.parametrize('kind', SURROGATES)
def test_a_restored_ensemble_goes_on_in_the_same_way(kind):
    one, restored = fitted(kind, cells(1)), Ensemble(SPACE, kind, **SMALL)
    restored.load_state_dict(json.loads(json.dumps(one.state_dict())))
    genotypes = cells(2, 20)
    for ensemble in (one, restored):
        ensemble.fit(genotypes, [planted(genotype) for genotype in genotypes], lr=0.002, epochs=3)
    assert one.state_dict() == restored.state_dict()
    assert np.array_equal(one.predict(genotypes), restored.predict(genotypes))


@pytest.mark.parametrize('kind', SURROGATES)
def test_it_ranks_cells_larger_than_any_that_it_has_seen(kind):
    ensemble = Ensemble(SPACE, kind, members=5, hidden=32)
    ensemble.fit(cells(1), [planted(genotype) for genotype in cells(1)], lr=0.01, epochs=60)
    larger = cells(2, 60)
    assert stats.spearmanr(ensemble.predict(larger), [planted(genotype) for genotype in larger]).statistic > 0.6
