"""Bad input: one sentence that a person can act on, a non-zero exit, and nothing trained."""

import re
from pathlib import Path

import pytest

from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.search import Search, limits
from nasdet.searchers import RandomSearcher
from tests.datasets.toys import write, write_toy
from tests.faults.conftest import CONFIG, TINY
from tests.faults.drive import toy_config
from tests.toys import ToySpace

# ---- the config

def test_a_missing_config(refused):
    assert 'no/such.py' in refused('search', 'no/such.py')


def test_a_config_that_python_cannot_read(refused, tmp_path):
    (tmp_path / 'broken.py').write_text('search = dict(\n')
    assert 'cannot read the config' in refused('search', tmp_path / 'broken.py')


def test_a_config_without_a_search(refused):
    base = 'configs/_base_/models/retinanet_r18_small.py'
    assert 'retinanet_r18_small.py has no search=dict(...)' in refused('search', base)


@pytest.mark.parametrize('changes, sentence', [
    (dict(budget=dict()), 'search.budget.trials is the number of evaluations, at least 1, not None'),
    (dict(budget=dict(trials=0)), 'at least 1, not 0'),
    (dict(budget=40), 'search.budget is a dict with trials, not 40'),
    (dict(budget=dict(trials=4, trails=40)), "search.budget has the unknown entry 'trails': did you mean 'trials'?"),
    (dict(budget=dict(trials=4, hours=1)), "search.budget has the unknown entry 'hours': known: trials"),
    (dict(order='any'), "search.order is 'trial' or 'arrival', not 'any'"),
    (dict(seed=-1), 'search.seed is at least 0, not -1'),
    (dict(cost=[]), "unknown entry 'cost': did you mean 'costs'?"),
    (dict(space=None), 'search.space is a dict with a type, not None'),
])
def test_wrong_entries_of_the_search(toy_search, changes, sentence):
    assert sentence in toy_search(**changes)


def test_a_search_is_not_compiled(search):
    assert "the config has compile=True, and the trainings of a search are never compiled" in search('compile=True')


def test_an_option_that_fits_nowhere(search):
    assert "cannot set {'search.costs.9.limit': 3}" in search('search.costs.9.limit=3', data=['search.costs.9.limit=3'])


# ---- components

@pytest.mark.parametrize('changes, sentence', [
    (dict(space=dict(type='ToySpac')), "unknown space type 'ToySpac': did you mean 'ToySpace'?"),
    (dict(searcher=dict(type='EvolutionSearch')), "searcher type 'EvolutionSearch': did you mean 'EvolutionSearcher'?"),
    (dict(estimator=dict(type='TrainEstimator')), "estimator type 'TrainEstimator': did you mean 'TrainingEstimator'?"),
    (dict(costs=[dict(type='Mac')]), "unknown cost type 'Mac': did you mean 'Macs'?"),
    (dict(engine=dict(type='LocalEngin')), "unknown engine type 'LocalEngin': did you mean 'LocalEngine'?"),
])
def test_unknown_types_suggest_the_nearest_name(toy_search, changes, sentence):
    assert sentence in toy_search(**changes)


@pytest.mark.parametrize('changes, sentence', [
    (dict(space=dict(type='ToySpace', layers=3)), "space ToySpace: .*unexpected keyword argument 'layers'"),
    (dict(searcher=dict(type='RandomSearcher', popul=3)), "RandomSearcher.*unexpected keyword argument 'popul'"),
    (dict(searcher=dict(type='EvolutionSearcher', population=0)), 'population'),
    (dict(searcher=dict(type='ReinforceSearcher', update='a2c')), 'a2c'),
    (dict(estimator=dict(type='TabularEstimator')), "estimator TabularEstimator: .*'table'"),
    (dict(engine=dict(type='InlineEngine', slots=4)), 'InlineEngine has one slot, not 4'),
    (dict(costs=[dict(type='Macs', scope='tail')]), "one of .*'neck'.*not 'tail'"),
    (dict(costs=[dict(type='Params', limit='1M')]), "the limit of a cost is a number, not '1M'"),
    (dict(objective={'score': 'up'}), "'max' or 'min'"),
])
def test_wrong_arguments_name_the_component(toy_search, changes, sentence):
    assert re.search(sentence, toy_search(**changes))


def test_a_searcher_of_one_objective_refuses_two(toy_search):
    error = toy_search(objective={'score': 'max', 'loss': 'min'})
    assert 'EvolutionSearcher handles one objective, not 2' in error


class Reader(RandomSearcher):
    needed_costs = ('Params(model)',)


def test_a_searcher_that_reads_a_cost_needs_it(toy_search):
    error = toy_search(searcher=dict(type='tests.faults.test_bad_input.Reader'))
    assert "Reader needs the cost 'Params(model)', and the costs of the search are none" in error


def test_an_estimator_that_trains_needs_a_space_with_apply(refused, tmp_path, repo_root):
    (tmp_path / 'toy.py').write_text(
        f"_base_ = '{repo_root / CONFIG}'\n"
        "custom_imports = dict(imports=['tests.toys'], allow_failed_imports=False)\n"
        "search = dict(space=dict(_delete_=True, type='ToySpace'))\n")
    error = refused('search', tmp_path / 'toy.py', '--work-dir', tmp_path / 'work', '--cfg-options', *TINY)
    assert 'SupernetEstimator needs a space with apply(), ToySpace has none' in error


def test_an_estimator_that_trains_needs_a_detector(refused, tmp_path, repo_root):
    (tmp_path / 'alone.py').write_text(
        f"_base_ = '{repo_root}/configs/_base_/schedules/adamw_cosine.py'\n"
        "search = dict(space=dict(type='MergingCellSpace'), searcher=dict(type='RandomSearcher'),\n"
        "              estimator=dict(type='TrainingEstimator'), budget=dict(trials=1))\n")
    error = refused('search', tmp_path / 'alone.py', '--work-dir', tmp_path / 'work')
    assert 'TrainingEstimator trains a detector, and the config has no model' in error


@pytest.mark.parametrize('objective, sentence', [
    ('coco/bbox_mAp', "objective 'coco/bbox_mAp' is not measured: did you mean 'coco/bbox_mAP'?"),
    ('coco/segm_mAP', "objective 'coco/segm_mAP' is not measured"),
    ('accuracy', "objective 'accuracy' is not measured: measured are Macs(neck), Params(neck), coco/bbox_mAP"),
])
def test_an_objective_that_is_not_measured(search, objective, sentence):
    assert sentence in search(f'search.objective={objective}')


def test_a_supernet_that_is_not_there(search):
    assert 'there is no supernet checkpoint /nowhere/supernet.pth' in search(
        'search.estimator.checkpoint=/nowhere/supernet.pth')


def test_more_images_than_there_are(search):
    error = search('search.estimator.images=9')
    assert '9 images asked for, but the split of' in error and 'val.json has 3' in error


# ---- a space that does not fit the detector

@pytest.mark.parametrize('option, sentence', [
    ('search.space.levels=[2,3,4,5,6]', 'bbox_head (RetinaHead) expects [8, 16, 32, 64, 128]: change the levels'),
    ('search.space.levels=[1,2,3,4,5]', 'level 1 has stride 2, but the backbone gives maps of the strides [4, 8'),
    ('search.space.num_cells=3', 'needs at least two levels and a cell for each: num_cells=3'),
    ('search.space.ops=[max]', "ops are among ('sum', 'gp'), not ('max',)"),
    ('search.space.neck.out_channels=0', 'out_channels'),
    ('search.space.neck.norm_cfg.type=GN', 'num_groups'),
    ('search.space.head_depths=[1,2]', 'a supernet has one head_depth, and this space leaves open which of [1, 2]'),
    ('model.backbone.type=ResNet11', 'the backbone ResNet11 cannot be built'),
])
def test_a_space_that_does_not_fit_the_detector(search, option, sentence):
    assert sentence in search(option)


def test_channels_of_a_head_that_the_space_does_not_set(search):
    error = search('model.bbox_head.type=tests.faults.heads.NarrowHead')
    assert 'bbox_head.cls_convs.0.conv reads 16 channels, but is given 32' in error


# ---- limits

def test_a_limit_that_nothing_meets(search, monkeypatch):
    assert limits.SECONDS <= 8
    monkeypatch.setattr(limits, 'SECONDS', 1.0)
    assert re.search(r'none of \d+ sampled architectures meets the limit of 1,000 MACs of Macs\(neck\), where the '
                     r'least seen is [\d,]{6,}: raise the limit', search('search.costs.0.limit=1000'))


def test_a_refused_limit_does_not_bind_the_folder(toy_search, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, 'SECONDS', 0.2)
    costs = [dict(type='tests.search.test_loop.Layers', limit=0)]
    assert 'limit of 0  of Layers(model), where the least seen is 1' in toy_search(costs=costs)
    costs[0]['limit'] = 3
    Search.from_cfg(toy_config(tmp_path / 'evaluations.log', 0, costs=costs), str(tmp_path / 'work')).close()


class Layers(Cost):
    """Counts the layers with an operation, or those without."""

    def __init__(self, space, identity, limit):
        super().__init__(space, limit=limit, scope='id' if identity else 'others')
        self.identity = identity

    def __call__(self, genotype):
        return float(sum((layer['op'] == 'id') == self.identity for layer in genotype.value['layers']))


def test_limits_that_are_met_alone_but_not_together(monkeypatch):
    monkeypatch.setattr(limits, 'SECONDS', 0.2)
    space = ToySpace(5)
    ids, others = Layers(space, True, limit=1), Layers(space, False, limit=2)
    for alone in (ids, others):
        limits.check_limits(space, [alone], seed=0)
    with pytest.raises(SearchError, match=r'together meets the limit of 1 .*Layers\(id\).* and 2 .*Layers\(others\)'):
        limits.check_limits(space, [ids, others], seed=0)


# ---- data

@pytest.fixture
def own_data(tmp_path, search):
    """Search on pictures of the test's own, after it has done something to them."""
    def run(change, *options):
        coco, ann_file, images = write_toy(tmp_path, size=(64, 64))
        change(coco, images)
        if ann_file.exists():
            write(ann_file, coco)
        data = [f'search.data.{name}={value}' for name, value in (
            ('type', 'coco'), ('ann_file', ann_file), ('image_dir', images), *options)]
        (tmp_path / 'own.py').write_text(f"_base_ = '{Path(CONFIG).absolute()}'\n"
                                         'search = dict(data=dict(_delete_=True))\n')
        return search(data=data, config=tmp_path / 'own.py')
    return run


def test_a_missing_annotation_file(own_data):
    assert 'annotation file /nowhere/a.json does not exist' in own_data(
        lambda coco, images: None, ('ann_file', '/nowhere/a.json'))


@pytest.mark.parametrize('change, sentence', [
    (lambda coco, images: coco['annotations'].clear(), 'toy.json has no boxes: its annotations are empty'),
    (lambda coco, images: coco['annotations'][0].update(category_id=99), 'annotation 13 has the unknown category id'),
    (lambda coco, images: (images / 'toy_4.png').unlink(), 'toy_4.png does not exist'),
    (lambda coco, images: (images / 'toy_4.png').write_bytes(b'no picture'), 'toy_4.png is not readable'),
])
def test_faulty_data(own_data, change, sentence):
    assert sentence in own_data(change)


def test_a_test_split_that_overlaps_the_reward_split(own_data, tmp_path):
    _, test_file, _ = write_toy(tmp_path, count=3, first_id=4, name='other', size=(64, 64))
    error = own_data(lambda coco, images: None, ('test_ann_file', test_file), ('test_image_dir', tmp_path))
    assert 'the test split overlaps what the search sees' in error and '3 image ids are in both, such as 4' in error


# ---- genotypes

def test_a_genotype_file_of_a_newer_schema(refused, tmp_path):
    cfg = toy_config(tmp_path / 'evaluations.log', 0)
    Search.from_cfg(cfg, str(tmp_path / 'work')).close()
    genotype = tmp_path / 'genotype.json'
    for text, sentence in (('{"schema": 99, "space": "ToySpace", "value": {}}',
                            'this genotype has schema 99, this nasdet reads up to 1: update nasdet'),
                           ('{"schema": 1, "space": "CellSpace", "value": {}}',
                            'this genotype is of CellSpace, not of ToySpace'),
                           ('{"schema": "new", "space": "ToySpace", "value": {}}', 'schema is a whole number'),
                           ('{"schema": 1', 'not a genotype: not JSON')):
        genotype.write_text(text)
        assert sentence in refused('export', tmp_path / 'work', '--genotype', genotype)
    assert '/nowhere.json does not exist' in refused('export', tmp_path / 'work', '--genotype', '/nowhere.json')
