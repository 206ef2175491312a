from nasdet.engines.worker import build_estimator
from nasdet.randomness import CONTROL, LIMITS, PATHS, SEARCH, generator
from nasdet.search import Search
from tests.faults.drive import toy_config
from tests.toys import ToyEstimator


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


class Seeded(ToyEstimator):
    """Has a seed of its own."""

    def __init__(self, space, config=None, work_dir=None, seed=0):
        super().__init__(space, config, work_dir)
        self.seed = seed


def test_the_searchs_seed_is_the_default_of_its_parts_in_driver_and_worker(tmp_path):
    starts = []
    for number, (seed, own) in enumerate([(3, {}), (4, {}), (4, dict(seed=3))]):
        config = toy_config(tmp_path / 'evaluations.log', slots=0, searcher='ReinforceSearcher', seed=seed,
                            estimator=dict(type='tests.test_randomness.Seeded', **own))
        config.search.searcher.update(own)
        search = Search.from_cfg(config, str(tmp_path / str(number)))
        starts.append(search.searcher.state_dict()['parameters'])
        assert search.estimator.seed == build_estimator(search.work_dir.path).seed == own.get('seed', seed)
        search.close()
    assert starts[0] != starts[1] and starts[0] == starts[2]
