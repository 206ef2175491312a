"""Progressive search: levels, beam, refusals, correlations, state."""

import logging
from itertools import islice

import numpy as np
import pytest
from scipy import stats

from nasdet.protocol import Result
from nasdet.searchers import EvolutionSearcher, ProgressiveSearcher, RandomSearcher
from nasdet.spaces import PNASSpace
from nasdet.testing import check_searcher
from tests.searchers.test_surrogate import planted
from tests.toys import ToySpace

SPACE = PNASSpace(3, ('sep3', 'max3', 'id'))
QUICK = dict(epochs=2, members=2, hidden=8)


def run(searcher, score=planted, status=lambda trial: 'ok'):
    """Return (proposal, reward) of a search to its end, one trial at a time."""
    done = []
    while (proposal := searcher.ask(len(done), np.random.default_rng(len(done)))) is not None:
        searcher.asked(len(done), proposal)
        reward = score(proposal.genotype) if status(len(done)) == 'ok' else None
        searcher.tell(len(done), proposal, Result(status(len(done)), reward))
        done.append((proposal, reward))
    assert searcher.finished
    return done


def blocks(proposal):
    return len(proposal.genotype.value['normal']['blocks'])


@pytest.mark.parametrize('options', [dict(), dict(surrogate='lstm'), dict(refit='all')], ids=str)
def test_conforms(options):
    check_searcher(lambda space: ProgressiveSearcher(space, beam=5, **QUICK, **options), PNASSpace(3, ('sep3', 'id')),
                   trials=20)


class FewExtensions(PNASSpace):
    """PNAS's space, whose cells of one block or more have two extensions each."""

    def extensions(self, genotype=None):
        return islice(super().extensions(genotype), None if genotype is None else 2)


def test_the_paper_trains_1160_models():
    """136 cells of one block, then 256 of each of 2 to 5 blocks, or as many as there are."""
    done = run(ProgressiveSearcher(FewExtensions(), epochs=1, members=1, hidden=2))
    assert [sum(blocks(proposal) == size for proposal, _ in done) for size in range(1, 6)] == [136] + [256] * 4
    assert len(done) == len({proposal.genotype for proposal, _ in done}) == 1160


def test_levels_and_their_order():
    searcher = ProgressiveSearcher(SPACE, beam=6, **QUICK)
    done = run(searcher)
    levels = {size: [proposal for proposal, _ in done if blocks(proposal) == size] for size in (1, 2, 3)}
    assert [len(level) for level in levels.values()] == [21, 6, 6]      # 6 halves: 6 x 7 / 2 blocks
    assert [proposal.genotype for proposal in levels[1]] == list(SPACE.extensions(None))
    assert all('predicted' not in proposal.meta for proposal in levels[1])
    for size in (2, 3):
        extended = {longer for proposal in levels[size - 1] for longer in SPACE.extensions(proposal.genotype)}
        assert {proposal.genotype for proposal in levels[size]} <= extended
        predicted = [proposal.meta['predicted'] for proposal in levels[size]]
        assert predicted == sorted(predicted, reverse=True)
    assert searcher.ending == 'level 3 is evaluated, and no architecture of it can be extended'


def test_the_beam_is_the_best_predicted_of_all_extensions():
    searcher = ProgressiveSearcher(SPACE, beam=4, **QUICK)
    first = list(SPACE.extensions(None))
    for trial, genotype in enumerate(first):
        proposal = searcher.ask(trial, np.random.default_rng(0))
        searcher.asked(trial, proposal)
        searcher.tell(trial, proposal, Result('ok', planted(genotype)))
    candidates = list({longer for genotype in first for longer in SPACE.extensions(genotype)})
    predicted = searcher.ensemble.predict(candidates)
    beam = searcher.queue[:4]
    worst = min(predicted[candidates.index(genotype)] for genotype in beam)
    assert sum(predicted > worst) == 3


def test_a_level_waits_for_all_results():
    searcher = ProgressiveSearcher(SPACE, beam=4, **QUICK)
    proposals = []
    while (proposal := searcher.ask(len(proposals), np.random.default_rng(0))) is not None:
        searcher.asked(len(proposals), proposal)
        proposals.append(proposal)
    assert len(proposals) == 21 and not searcher.finished
    for trial, proposal in enumerate(proposals):
        assert searcher.ask(21, np.random.default_rng(0)) is None
        searcher.tell(trial, proposal, Result('ok', 0.5))
    assert blocks(searcher.ask(21, np.random.default_rng(0))) == 2


def test_refused_leave_their_place_and_failed_keep_it():
    def status(trial):
        return {21: 'refused', 22: 'refused', 23: 'failed'}.get(trial, 'ok')

    done = run(ProgressiveSearcher(SPACE, beam=4, **QUICK), status=status)
    second = [trial for trial, (proposal, _) in enumerate(done) if blocks(proposal) == 2]
    assert len(second) == 6
    scored = [done[trial][0].genotype for trial in second if status(trial) == 'ok']
    assert len(scored) == 3
    extended = {longer for genotype in scored for longer in SPACE.extensions(genotype)}
    assert {proposal.genotype for proposal, _ in done if blocks(proposal) == 3} <= extended


def test_it_ends_where_nothing_succeeds():
    done = run(ProgressiveSearcher(SPACE, beam=4, **QUICK), status=lambda trial: 'failed')
    assert len(done) == 21


def test_the_correlation_is_that_of_the_next_level(caplog):
    searcher = ProgressiveSearcher(SPACE, beam=12, **QUICK)
    with caplog.at_level(logging.INFO):
        done = run(searcher)
    for size, correlation in zip((2, 3), searcher.correlations, strict=True):
        pairs = [(proposal.meta['predicted'], reward) for proposal, reward in done if blocks(proposal) == size]
        assert correlation == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
        assert f'level {size}: 12 architectures scored, best reward' in caplog.text
        assert f'predicted and measured reward: {correlation:.2f}' in caplog.text


def test_equal_rewards_have_no_correlation():
    searcher = ProgressiveSearcher(SPACE, beam=4, **QUICK)
    run(searcher, score=lambda genotype: 0.5)
    assert searcher.correlations == [None, None]


def test_what_a_level_teaches():
    """``refit='all'`` trains on all levels, and from a new start; ``'level'`` goes on with the last one."""
    seen = {}
    for refit in ('level', 'all'):
        searcher, calls = ProgressiveSearcher(SPACE, beam=4, refit=refit, **QUICK), []
        fit = searcher.ensemble.fit
        searcher.ensemble.fit = lambda genotypes, rewards, lr, epochs, anew: (
            calls.append((len(genotypes), lr, anew)), fit(genotypes, rewards, lr, epochs, anew))    # noqa: B023
        run(searcher)
        seen[refit] = calls
    assert seen == dict(level=[(21, 0.01, False), (4, 0.002, False)], all=[(21, 0.01, True), (25, 0.01, True)])


@pytest.mark.parametrize('surrogate', ['mlp', 'lstm'])
def test_a_planted_goal_is_found_better_than_by_chance(surrogate):
    searched, drawn = [], []
    for seed in range(3):
        rewards = [reward for _, reward in run(ProgressiveSearcher(SPACE, beam=6, surrogate=surrogate, epochs=30,
                                                                   hidden=16, seed=seed))]
        random = RandomSearcher(SPACE)
        searched.append(np.mean(rewards[-6:]))
        drawn.append(np.mean([planted(random.ask(trial, np.random.default_rng((seed, trial))).genotype)
                              for trial in range(len(rewards))]))
    assert min(searched) > max(drawn) + 0.1


@pytest.mark.parametrize('make, words', [
    (lambda: ProgressiveSearcher(ToySpace(3)), 'needs a space with extensions.., such as PNASSpace; ToySpace has none'),
    (lambda: ProgressiveSearcher(SPACE, beam=0), 'must be at least 1'),
    (lambda: ProgressiveSearcher(SPACE, surrogate='tree'), "surrogate must be one of .'mlp', 'lstm'., not 'tree'"),
    (lambda: ProgressiveSearcher(SPACE, lr=0.01), 'lr is two rates above 0, .* not 0.01'),
    (lambda: ProgressiveSearcher(SPACE, lr=[0.01]), r'lr is two rates above 0, .* not \[0.01\]'),
    (lambda: ProgressiveSearcher(SPACE, refit='never'), 'refit must be one of')])
def test_refuses_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_refuses_rewards_that_it_cannot_predict():
    searcher = ProgressiveSearcher(SPACE)
    with pytest.raises(ValueError, match='trial 0 has the reward 1.5, but ProgressiveSearcher predicts rewards'):
        searcher.tell(0, searcher.ask(0, np.random.default_rng(0)), Result('ok', 1.5))


def test_other_searchers_run_on_cells_that_grow():
    check_searcher(lambda space: EvolutionSearcher(space, population=5, sample=2), PNASSpace(2, ('sep3', 'id')), 20)
