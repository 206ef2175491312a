from nasdet.randomness import CONTROL, LIMITS, PATHS, SEARCH, generator
from nasdet.search import Search
from tests.faults.drive import toy_config


def test_no_two_uses_of_a_seed_draw_the_same_numbers():
    drawn = [generator(seed, number, use).integers(2 ** 62)
             for seed in range(3) for number in range(50) for use in (SEARCH, LIMITS, PATHS, CONTROL)]
    assert len(drawn) == len(set(drawn)) == 600


def test_a_control_proposes_other_architectures_than_its_search(tmp_path):
    config = toy_config(tmp_path / 'evaluations.log', slots=0, searcher='RandomSearcher', budget=dict(trials=8))
    config.search.space.num_decisions = 12      # so many that no two draws are equal by chance
    search = Search.from_cfg(config, str(tmp_path / 'work'))
    search.run()
    control = search.control()
    control.run()
    keys, others = ([trial.key for trial in which.history.trials()] for which in (search, control))
    assert len(keys) == len(others) == 8 and not set(keys) & set(others)
    control.close()
    search.close()
