"""How the searchers hold to the conformance suite, and the suite to its word."""

import numpy as np
import pytest

from nasdet.searchers import EvolutionSearcher, GenerationalEvolutionSearcher, RandomSearcher, ReinforceSearcher
from nasdet.testing import check_searcher
from tests.toys import ToySpace

MAKERS = dict(
    random=RandomSearcher,
    random_dedup=lambda space: RandomSearcher(space, dedup=True),
    evolution=lambda space: EvolutionSearcher(space, population=10, sample=3),
    evolution_worst=lambda space: EvolutionSearcher(space, population=10, sample=3, removal='worst', rate=0.3),
    evolution_crossover=lambda space: EvolutionSearcher(space, population=10, sample=3, crossover=0.5),
    evolution_identity=lambda space: EvolutionSearcher(space, population=10, sample=3, identity=0.3),
    generational=lambda space: GenerationalEvolutionSearcher(space, population=6, generations=5, parents=3, mutations=2,
                                                             crossovers=2),
    ppo=lambda space: ReinforceSearcher(space, batch=7, minibatch=3, epochs=2, hidden=16),
    reinforce=lambda space: ReinforceSearcher(space, update='reinforce', batch=1, hidden=16),
)


@pytest.mark.parametrize('name', MAKERS)
def test_searcher_conforms(name):
    check_searcher(MAKERS[name], ToySpace(4), trials=40)


class Impure(RandomSearcher):
    def ask(self, trial, rng):
        self.seen.add(str(trial))
        return super().ask(trial, rng)


class Forgetful(EvolutionSearcher):
    def load_state_dict(self, state):
        super().load_state_dict(dict(population=state['population'][1:]))


class Gullible(EvolutionSearcher):
    def tell(self, trial, proposal, result):
        if result.status != 'ok':
            result = type(result)('ok', 1.0)
        super().tell(trial, proposal, result)


class Stuck(RandomSearcher):
    def ask(self, trial, rng):
        return super().ask(trial, rng) if trial < 5 else None


class OwnChance(RandomSearcher):
    def ask(self, trial, rng):
        return super().ask(trial, np.random.default_rng())


@pytest.mark.parametrize('make, complaint', [
    (Impure, 'changes the state'),
    (lambda space: Forgetful(space, population=10, sample=3), 'does not restore'),
    (lambda space: Gullible(space, population=10, sample=3), 'parents that failed'),
    (Stuck, 'not finished'),
    (OwnChance, 'not a function'),
])
def test_what_is_broken_is_found(make, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_searcher(make, ToySpace(5))
