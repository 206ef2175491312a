"""Limits of costs: impossible, inert, and given as quantiles of the space; how sampling looks for them is in faults."""

from contextlib import closing

import pytest
from mmengine.config import Config

import tests.toys  # noqa: F401 - registers the toy estimator
from nasdet.costs import AdditiveMacs, Macs
from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.search import Search
from nasdet.search.limits import check_limits
from nasdet.spaces import ChoiceBlockSpace
from tests.toys import ToySpace

STAGES = [dict(channels=8, num_blocks=1), dict(channels=12, num_blocks=2), dict(channels=20, num_blocks=2),
          dict(channels=24, num_blocks=1)]
MODEL = dict(backbone={}, neck=dict(in_channels=[1, 2, 3, 4]))


@pytest.fixture(scope='module')
def cost():
    """A cost that knows its distribution over a small space."""
    return AdditiveMacs(ChoiceBlockSpace(STAGES, stem_channels=4), MODEL, input_shape=(3, 64, 64))


@pytest.fixture
def warnings(caplog):
    """Return what has been logged as a warning."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']


def test_what_is_known_exactly_is_not_sampled(cost, warnings, monkeypatch):
    monkeypatch.setattr(cost.space, 'sample', None)
    distribution = cost.distribution
    cost.limit = distribution.least - 1
    with pytest.raises(SearchError, match=rf'no architecture of ChoiceBlockSpace .* has {distribution.least:,}: raise'):
        check_limits(cost.space, [cost], seed=0)
    for limit, share in ((distribution.least, 0.01), (distribution.quantile(0.98), 0.99)):
        cost.limit = limit
        assert distribution.share(limit) < share
        check_limits(cost.space, [cost], seed=0)
    assert not warnings()
    cost.limit = distribution.most
    check_limits(cost.space, [cost], seed=0)
    assert warnings() == [f'the limit of {distribution.most:,} MACs of AdditiveMacs(backbone) restricts nothing: '
                          f'100.00% of random architectures meet it; lower it, or leave it out']


class Layers(Cost):
    """Counts the layers of a chain."""

    def __call__(self, genotype):
        return float(len(genotype.value['layers']))


def test_an_inert_limit_is_found_by_samples_of_a_cheap_cost_only(cost, warnings):
    check_limits(ToySpace(4), [Layers(ToySpace(4), limit=4)], seed=0)
    assert len(warnings()) == 1 and 'the limit of 4  of Layers(model) restricts nothing: 100.00%' in warnings()[0]
    slow = Macs(cost.space, MODEL, limit=1e12, scope='backbone', input_shape=(3, 64, 64))
    check_limits(cost.space, [slow], seed=0)
    assert len(warnings()) == 1


@pytest.fixture
def config(repo_root, tmp_path):
    """A search that scores nothing real, and takes the cheaper half of the space."""
    small = Config.fromfile(str(repo_root / 'configs/_base_/models/retinanet_r18_small.py'))
    search = dict(space=dict(type='ChoiceBlockSpace', stages=STAGES, stem_channels=4),
                  searcher=dict(type='RandomSearcher'), estimator=dict(type='ToyEstimator'), objective='score',
                  costs=[dict(type='AdditiveMacs', scope='backbone', limit=dict(quantile=0.5))],
                  budget=dict(trials=4), shared_dir=str(tmp_path), seed=0)
    return Config(dict(model=small.model, search=search))


def test_a_quantile_is_recorded_as_the_number_that_it_is(config, tmp_path):
    with closing(Search.from_cfg(config, str(tmp_path / 'work'))) as search:
        limit = search.costs[0].limit
        search._loop()
        refused = [trial for trial in search.history.trials() if trial.status == 'refused']
        assert refused and all(trial.result.costs['AdditiveMacs(backbone)'] > limit for trial in refused)
    stored = Config.fromfile(str(tmp_path / 'work' / 'config.py')).search.costs[0]
    assert stored.limit == limit and config.search.costs[0].limit == dict(quantile=0.5)
    log = (tmp_path / 'work' / 'search.log').read_text()
    assert f"AdditiveMacs(backbone): its limit of {{'quantile': 0.5}} is {limit:,} MACs" in log


def test_a_search_that_goes_on_keeps_the_number(config, tmp_path):
    with closing(Search.from_cfg(config, str(tmp_path / 'work'))) as search:
        limit = search.costs[0].limit
        assert search.costs[0].distribution.share(limit) >= 0.5
    for _ in range(2):
        with closing(Search.from_cfg(config, str(tmp_path / 'work'))) as search:
            assert search.costs[0].limit == limit
    config.search.costs[0].limit = dict(quantile=0.6)
    with pytest.raises(SearchError, match='belongs to another search'):
        Search.from_cfg(config, str(tmp_path / 'work'))
