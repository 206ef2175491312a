"""The folder of an export: what it may replace, what its config imports, and what it holds alone."""

import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict

from nasdet.cli import main
from nasdet.costs.base import Cost
from nasdet.errors import SearchError
from nasdet.export import detector_config, export
from nasdet.genotype import Genotype
from nasdet.history.record import read_record
from nasdet.report import draw, read_report
from nasdet.search import Search
from nasdet.searchers import ListSearcher
from tests.faults.drive import toy_config
from tests.toys import ToySpace


class NeckSpace(ToySpace):
    """A toy space that gives any genotype the same neck."""

    def apply(self, genotype, model):
        return ConfigDict({**model, 'neck': dict(type='MergingCellFPN')})


GENOTYPE = Genotype('NeckSpace', dict(layers=[]))


def config(*imports: str, **more) -> Config:
    return Config(dict(model=dict(type='Detector'), search=dict(), custom_imports=dict(imports=list(imports)), **more))


# ---- the folder


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A finished search in ``work``, and an empty folder as the current one."""
    cfg = toy_config(tmp_path / 'evaluations.log', 0, budget=dict(trials=2))
    search = Search.from_cfg(cfg, str(tmp_path / 'work'))
    search.run()
    search.close()
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    return tmp_path / 'work'


def holds(folder: Path) -> set:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize('name', ['notes.txt', 'config.py', 'weights.pth'])
def test_a_folder_with_other_files_is_never_replaced(searched, capfd, name):
    Path(name).write_text('mine')
    for out in ('.', os.getcwd()):
        assert main(['export', str(searched), '--out', out]) == 1
        assert f'it holds {name}, which no export has written' in capfd.readouterr().err
    assert Path(name).read_text() == 'mine' and holds(Path.cwd().parent) == {'here', 'work', 'evaluations.log'}


def test_the_folder_of_a_search_is_never_replaced(searched, capfd):
    before = holds(searched)
    assert main(['export', str(searched), '--out', str(searched)]) == 1
    assert 'which no export has written' in capfd.readouterr().err
    assert holds(searched) >= before


def test_what_was_added_to_an_export_is_kept(searched, capfd):
    (searched / 'best' / 'epoch_9.pth').write_text('mine')
    assert main(['export', str(searched), '--out', str(searched / 'best')]) == 1
    assert 'it holds epoch_9.pth' in capfd.readouterr().err
    assert holds(searched / 'best') == {'genotype.json', 'epoch_9.pth'}


def test_a_file_is_not_replaced(searched, capfd):
    Path('out').write_text('mine')
    assert main(['export', str(searched), '--out', 'out']) == 1
    assert 'it is a file; name a folder' in capfd.readouterr().err and Path('out').read_text() == 'mine'


@pytest.mark.parametrize('out', ['new', 'deep/new', 'empty', 'before', '.'])
def test_a_new_an_empty_and_an_exported_folder_are_taken(searched, out):
    folder = Path(out).resolve()
    if out == 'empty':
        folder.mkdir()
    if out == 'before':
        (folder / '__pycache__').mkdir(parents=True)
        (folder / 'genotype.json').write_text('old')
    assert main(['export', str(searched), '--out', out]) == 0
    assert holds(folder) == {'genotype.json'}
    assert Genotype.from_json((folder / 'genotype.json').read_text()).space == 'ToySpace'
    assert not list(folder.parent.glob('.*'))


# ---- the list of the best


def test_the_best_are_listed_for_another_search(searched, capfd):
    assert main(['export', str(searched), '--top-k', '5']) == 0
    path = searched / 'export' / 'best-5.jsonl'
    ranking = read_record(searched / 'history.sqlite').ranking
    assert len(ranking) == 2 and ranking[0].result.reward >= ranking[1].result.reward
    assert path.read_text() == ''.join(f'{trial.proposal.genotype.to_json()}\n' for trial in ranking)
    assert f'{path}: 2 genotypes, rewards {ranking[0].result.reward} to' in capfd.readouterr().out
    searcher = ListSearcher(ToySpace(5), str(path))
    assert searcher.genotypes == [trial.proposal.genotype for trial in ranking]
    assert main(['export', str(searched), '--top-k', '1', '--out', 'best.jsonl']) == 0
    assert Path('best.jsonl').read_text() == path.read_text().splitlines(keepends=True)[0]


class Widths(Cost):
    """The channels of all convolutions of a toy."""

    unit = 'channels'

    def __call__(self, genotype):
        return float(sum(layer.get('width', 0) for layer in genotype.value['layers']))


def test_the_front_of_reward_and_costs_is_listed_and_drawn(tmp_path, capfd):
    costs = [dict(type='tests.test_export.Widths')]
    cfg = toy_config(tmp_path / 'evaluations.log', 0, budget=dict(trials=30), costs=costs)
    with closing(Search.from_cfg(cfg, str(tmp_path / 'work'))) as search:
        search.run()
    assert main(['export', str(tmp_path / 'work'), '--front']) == 0
    said = capfd.readouterr().out
    ranking = read_record(tmp_path / 'work' / 'history.sqlite').ranking
    wanted, cheapest = [], float('inf')
    for trial in ranking:       # from the best reward down: on the front is what is cheaper than all before it
        if trial.result.costs['Widths(model)'] < cheapest:
            wanted.append(trial)
            cheapest = trial.result.costs['Widths(model)']
            assert f'trial {trial.trial}: reward {trial.result.reward}, Widths(model) {cheapest:.15g} channels' in said
    assert 1 < len(wanted) < len(ranking)
    listed = (tmp_path / 'work' / 'export' / 'front.jsonl').read_text()
    assert listed == ''.join(f'{trial.proposal.genotype.to_json()}\n' for trial in wanted)
    picture = draw(read_report(tmp_path / 'work'))['reward_cost']
    assert b'Pareto front' in re.sub(rb'<!--|-->', b'', picture)


def test_without_costs_there_is_no_front(searched, capfd):
    assert main(['export', str(searched), '--front']) == 1
    assert 'no front to list' in capfd.readouterr().err


def test_a_list_of_nothing_is_refused(searched, capfd):
    assert main(['export', str(searched), '--top-k', '0']) == 1
    assert 'nothing to list: --top-k is 0' in capfd.readouterr().err


# ---- what the config imports


@pytest.mark.parametrize('imports, kept', [
    ((), []),
    (('nasdet.models', 'nasdet.datasets'), []),
    (('my.heads', 'nasdet.models', 'nasdet.training', 'nasdet.datasets'), ['my.heads', 'nasdet.training']),
])
def test_a_plain_config_imports_what_the_config_named(imports, kept):
    plain = detector_config(config(*imports, val_evaluator=dict(type='RawCocoMetric')), ConfigDict(type='Detector'))
    assert plain.custom_imports == dict(imports=[*kept, 'nasdet.models'], allow_failed_imports=False)
    assert plain.val_evaluator.type == 'CocoMetric' and 'search' not in plain


def test_data_of_nasdet_keep_their_import():
    plain = detector_config(config('nasdet.datasets', train_dataloader=dict(dataset=dict(type='HandwrittenDigits'))),
                            ConfigDict(type='Detector'))
    assert plain.custom_imports.imports == ['nasdet.datasets', 'nasdet.models']


def test_a_standalone_folder_keeps_the_modules_of_the_user(tmp_path):
    out = export(config('my.heads', 'nasdet.models', 'nasdet.datasets'), NeckSpace(), GENOTYPE, tmp_path / 'out',
                 standalone=True)
    plain = Config.fromfile(str(out / 'config.py'), import_custom_modules=False)
    assert plain.custom_imports.imports == ['my.heads', 'searched_network']
    assert 'class MergingCellFPN' in (out / 'searched_network.py').read_text()


def test_a_standalone_folder_that_would_need_nasdet_is_refused(tmp_path):
    needing = config('nasdet.training', custom_hooks=[dict(type='ReseedHook')])
    with pytest.raises(SearchError, match='the config needs nasdet.training too'):
        export(needing, NeckSpace(), GENOTYPE, tmp_path / 'out', standalone=True)
    assert not list(tmp_path.iterdir())
