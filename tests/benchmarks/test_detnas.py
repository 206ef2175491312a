"""The benchmarks of DetNAS: equal cost, the published way of scoring, and that its commands run."""

import argparse
import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from benchmarks import search_quality
from benchmarks.common import draw, open_config, read_rows, recipe_of
from benchmarks.detnas import candidates, equal_macs, step
from benchmarks.detnas.common import SUPERNET
from benchmarks.detnas.search_quality import STUDY
from benchmarks.nas_fpn.search_quality import STUDY as NECKS
from nasdet.registry import COSTS, SPACES, build
from tests.benchmarks.helpers import run

FEW = {'search.data.train': 4, 'search.data.val': 2, 'search.data.test': 2, 'search.data.size': 64}
TINY = ('search.data.train=16', 'search.data.val=8', 'search.data.test=8', 'search.data.size=64')
FROM_SCRATCH = 'search.space.backbone.init_cfg=None'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The supernet's config, prepared with a handful of pictures."""
    return open_config(SUPERNET, tmp_path_factory.mktemp('prepared'), FEW)


@pytest.fixture
def space(config):
    return build(SPACES, config.search.space)


def test_all_backbones_cost_what_the_limit_allows(config, space):
    limit = equal_macs.limit_of(config)
    genotypes = {**STUDY.baselines(config, 0), 'drawn': draw(space, 5)}
    found = {one.candidate.name: one for one in equal_macs.finalists(config, genotypes)}
    assert list(found) == ['random_path', 'shufflenet_v2', 'drawn']
    for name, one in found.items():
        assert abs(one.macs / limit - 1) <= 0.02
        backbone = one.candidate.model.backbone
        blocks = [stage['blocks'] for stage in backbone.genotype['stages']]
        assert blocks == [stage['blocks'] for stage in genotypes[name].plain()['stages']]
        channels = [stage['channels'] for stage in backbone.genotype['stages']]
        assert one.candidate.model.neck.in_channels == channels and all(number % 2 == 0 for number in channels)
        assert one.candidate.key == space.key(genotypes[name])
    assert found['shufflenet_v2'].width > 256       # a kernel of 3 is the cheapest, so it gets more channels
    as_it_is = equal_macs.at_width(config, 'drawn', genotypes['drawn'], 256)
    cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
    assert as_it_is.macs == cost(genotypes['drawn'])


def test_a_random_path_meets_the_limit_and_differs_by_seed(config, space):
    cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
    drawn = [STUDY.baselines(config, seed)['random_path'] for seed in range(4)]
    assert all(cost(genotype) <= cost.limit for genotype in drawn) and len(set(drawn)) == 4
    plain = STUDY.baselines(config, 0)['shufflenet_v2']
    assert {block for stage in plain.plain()['stages'] for block in stage['blocks']} == {'shuffle3'}


def test_each_detector_and_data_set_has_its_config():
    for detector in ('retinanet', 'faster_rcnn'):
        for data in ('digits', 'bccd'):
            args = argparse.Namespace(detector=detector, data=data)
            assert STUDY.config(args).exists() and STUDY.label(args) == f'{detector}-{data}'


def test_the_published_recalibration_is_a_moving_average_over_a_set_read_again_and_again():
    class Tiny(BaseModel):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(2)

        def extract_feat(self, inputs):
            return self.norm(inputs)

        def forward(self, inputs):
            return inputs

    model = Tiny()
    model.norm.running_mean.fill_(9.0)
    batches = [dict(inputs=torch.randn(4, 2, 3, 3) + shift) for shift in range(3)]
    candidates.recalibrate(model, batches, 7)
    mean, variance = torch.zeros(2), torch.ones(2)
    for number in range(7):
        values = batches[number % 3]['inputs']
        mean = 0.9 * mean + 0.1 * values.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * values.var((0, 2, 3))
    assert torch.allclose(model.norm.running_mean, mean) and torch.allclose(model.norm.running_var, variance)


def test_the_speedup_has_a_target(capsys):
    rows = [dict(mAP=str(0.1 * number), published_mAP=str(0.2 * number), seconds='2', published_seconds='10')
            for number in range(4)]
    assert candidates.show(rows) and 'tau of the two scores:  1.000' in capsys.readouterr().out
    assert not candidates.show([dict(row, seconds='2.1') for row in rows])


def test_memory_has_a_verdict():
    assert candidates.growth([100.0] * 50 + [101.0] * 50) == pytest.approx(0.01)
    assert candidates.growth([100.0] * 90 + [103.0] * 10) == pytest.approx(0.03)
    assert candidates.growth([200.0, 100.0]) == -0.5


def test_a_search_scores_as_many_candidates_as_its_config_says(tmp_path, monkeypatch):
    for given, expected in (([], 100), (['--trials', '7'], 7)):
        monkeypatch.setattr('sys.argv', ['search_quality', *given, '--work-dir', str(tmp_path)])
        args = search_quality.parse(STUDY)
        args.cfg_options = FEW
        assert search_quality.open_data(STUDY, args, tmp_path / str(expected)).search.budget.trials == expected
    assert NECKS.trials == 200      # whatever its config says


def test_the_recipe_knows_the_weights_of_step_1(config, tmp_path):
    other, weights = copy.deepcopy(config), tmp_path / 'weights.pth'
    other.search.space.backbone.init_cfg.checkpoint = str(weights)
    recipes = [recipe_of(other)]
    for content in ('one', 'another', 'one'):
        weights.write_text(content)
        recipes.append(recipe_of(other))
    assert len(set(recipes)) == 3 and recipes[1] == recipes[3]


def test_checks_are_counted(config, space, capsys):
    cost = build(COSTS, config.search.costs[0], space=space, model=config.model)
    assert step.seconds_of_checks(cost, [draw(space, index) for index in range(50)]) > 0
    met = int(capsys.readouterr().out.partition(' of 50')[0])
    assert 25 <= met <= 45      # 69 % of the space


# ---- for real


@pytest.mark.slow
def test_step_for_real(repo_root):
    done = run(repo_root, 'detnas.step', '--steps', 2, '--rounds', 2, '--cfg-options', *TINY)
    assert 'step of the supernet' in done.stdout and '1000 checks: ' in done.stdout, done.stdout


@pytest.mark.slow
def test_candidates_for_real(repo_root, tmp_path):
    places = ['--results', tmp_path / 'candidates.csv', '--work-dir', tmp_path, '--cfg-options', *TINY, FROM_SCRATCH,
              'search.estimator.epochs=1']
    for number in (2, 3):
        done = run(repo_root, 'detnas.candidates', '--candidates', number, *places)
        assert f'{number} candidates: ' in done.stdout, done.stdout
    rows = read_rows(tmp_path / 'candidates.csv')
    assert len({row['key'] for row in rows}) == len(rows) == 3
    assert all(float(row['published_seconds']) > float(row['seconds']) for row in rows)
    assert 'from the first tenth to the last it grew by ' in run(repo_root, 'detnas.candidates', '--memory', 10,
                                                                 *places).stdout


@pytest.mark.slow
def test_rank_correlation_for_real(repo_root, tmp_path):
    places = ['--results', tmp_path / 'rank.csv', '--work-dir', tmp_path, '--genotypes', 3, '--cfg-options', *TINY,
              FROM_SCRATCH, 'search.estimator.epochs=1']
    for arguments in ((), ('--supernet', 'plain')):
        done = run(repo_root, 'detnas.rank_correlation', *arguments, *places)
        assert done.returncode == 0, done.stdout
    assert [row['name'] for row in read_rows(tmp_path / 'rank.csv')] == ['stand-alone'] * 6 + ['plain'] * 3


@pytest.mark.slow
@pytest.mark.parametrize('detector', ['retinanet', 'faster_rcnn'])
def test_search_quality_for_real(repo_root, tmp_path, detector):
    done = run(repo_root, 'detnas.search_quality', '--detector', detector, '--seeds', 3, '--trials', 2, '--results',
               tmp_path, '--work-dir', tmp_path / 'work', '--cfg-options', *TINY, FROM_SCRATCH,
               'search.estimator.epochs=1', 'train_cfg.max_epochs=1')
    assert done.returncode == 0, done.stdout
    tests = read_rows(tmp_path / 'search_quality_test.csv')
    assert [row['backbone'] for row in tests] == ['random_path', 'shufflenet_v2', 'evolution', 'random']
    assert {row['data'] for row in tests} == {f'{detector}-digits'}
    macs = [int(row['macs']) for row in tests]
    assert max(macs) / min(macs) <= 1.02 / 0.98
