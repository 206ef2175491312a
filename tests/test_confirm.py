"""A confirmation: what it compares, what it refuses, what it says, and that nothing is measured twice."""

import json
import math
from types import SimpleNamespace

import pytest
from mmengine.config import Config, ConfigDict
from scipy import stats

from nasdet import zoo
from nasdet.comparison import compare, interval, sentence, table
from nasdet.confirm import Confirmation, main, read_rows, refuse_seen, run_config, summary
from nasdet.confirm_run import RESULT
from nasdet.errors import SearchError
from nasdet.finalists import Candidate, choose, published
from nasdet.genotype import Genotype
from nasdet.history import History, Trial
from nasdet.protocol import Proposal, Result
from nasdet.record import read_record
from nasdet.workdir import WorkDir
from tests.toys import ToySpace

FIGURES = dict(detector={0: 0.30, 1: 0.32, 2: 0.31}, found={0: 0.34, 1: 0.33, 2: 0.36})


# ---- statistics


def test_interval_is_students():
    three = interval([1.0, 2.0, 3.0])
    assert three.mean == 2.0 and three.half == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert interval([0.5]).half is None and str(interval([0.5])) == 'unknown'


def test_comparison_is_paired_by_seed_and_agrees_with_scipy():
    ours, theirs = {**FIGURES['found'], 7: 0.9}, FIGURES['detector']    # seed 7 has no pair
    baseline, found = compare(dict(detector=theirs, found=ours), 'detector')
    expected = stats.ttest_rel([ours[seed] for seed in (0, 1, 2)], [theirs[seed] for seed in (0, 1, 2)])
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.difference.mean - found.difference.half == pytest.approx(low)
    assert found.difference.mean + found.difference.half == pytest.approx(high)
    assert (found.figure.count, found.difference.count) == (4, 3)
    assert baseline.difference is None and baseline.p is None


@pytest.mark.parametrize('ours, words', [
    ([0.34, 0.33, 0.36], 'no evidence of a difference'),
    ([0.401, 0.419, 0.411], 'evidence that it is better'),
    ([0.201, 0.219, 0.211], 'evidence that it is worse'),
    ([0.34], 'one seed allows no test'),
    ([0.30, 0.32, 0.31], 'the differences do not vary'),
])
def test_the_sentence_claims_no_more_than_the_test(ours, words):
    figures = dict(detector=FIGURES['detector'], found=dict(enumerate(ours)))
    said = sentence(compare(figures, 'detector')[1], 'detector', 'coco/bbox_mAP')
    assert words in said
    assert ('no evidence' in said) == (': evidence' not in said)


def test_the_table_has_a_row_for_each_architecture():
    lines = table(compare(FIGURES, 'detector')).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert '| detector     | 3     | 0.3100 |' in lines[2] and '+0.0333' in lines[3]


# ---- what is compared


class NeckSpace(ToySpace):
    """A toy space whose genotypes go into a neck."""

    def apply(self, genotype, model):
        return ConfigDict({**model, 'neck': dict(type='Neck', genotype=genotype.plain())})


def remember(folder, rewards):
    """Write a history of chains that differ in their last width, or in how often they came."""
    space = NeckSpace()
    history = History(folder / 'history.sqlite')
    for number, (width, reward) in enumerate(rewards):
        layers = [dict(op='conv3', width=8)] * 3 + [dict(op='conv3', width=width)]
        genotype = Genotype(space.name, dict(layers=layers))
        proposal = Proposal(genotype, space.encode(genotype))
        history.asked(Trial(number, space.key(genotype), proposal, number))
        history.told(number, Result('ok' if reward is not None else 'failed', reward))
    history.close()
    return read_record(folder / 'history.sqlite')


def test_the_best_distinct_architectures_follow_the_detector(tmp_path):
    record = remember(tmp_path, [(8, 0.1), (16, 0.5), (16, 0.5), (32, 0.5), (8, None)])
    config = Config(dict(model=dict(type='Detector', neck=dict(type='FPN'))))
    chosen = choose(config, NeckSpace(), record, 2)
    assert [candidate.name for candidate in chosen] == ['detector', 'trial-000001', 'trial-000003']
    assert chosen[0].model == config.model and chosen[0].model.neck.type == 'FPN'
    assert chosen[1].model.neck.genotype['layers'][3]['width'] == 16


def test_a_confirmation_of_nothing_is_refused(tmp_path):
    record = remember(tmp_path, [(8, None)])
    config = Config(dict(model=dict(type='Detector')))
    with pytest.raises(SearchError, match='no trial of this search has succeeded'):
        choose(config, NeckSpace(), record, 3)
    with pytest.raises(SearchError, match='--top-k is at least 1'):
        choose(config, NeckSpace(), record, 0)


def test_a_published_genotype_takes_the_place_of_a_member():
    space = SimpleNamespace(name='MergingCellSpace', apply=NeckSpace().apply)
    member = Genotype('MergingCellSpace', dict(cells=[]))
    model = ConfigDict(type='Detector', neck=dict(type='FPN'))
    assert published(space, zoo.load('fpn'), member, model).neck.genotype == zoo.load('fpn').plain()
    assert model.neck == dict(type='FPN')


def test_a_baseline_that_is_unknown_or_of_another_space_is_refused(tmp_path):
    record = remember(tmp_path, [(8, 0.1)])
    config = Config(dict(model=dict(type='Detector')))
    with pytest.raises(SearchError, match="did you mean 'no_fusion'"):
        choose(config, NeckSpace(), record, 1, ['no_fusoin'])
    with pytest.raises(SearchError, match='of MergingCellSpace does not fit a search of NeckSpace'):
        choose(config, NeckSpace(), record, 1, ['fpn'])


# ---- the runs


def coco(*ids) -> dict:
    return dict(images=[dict(id=image, file_name=f'{image}.png') for image in ids], annotations=[], categories=[])


def loader(ann_file, folder='images') -> dict:
    return dict(batch_size=1, dataset=dict(type='RepeatDataset', times=2, dataset=dict(
        type='CocoDataset', ann_file=str(ann_file), data_prefix=dict(img=folder))))


@pytest.fixture
def searched(tmp_path):
    """A work dir with data, and the prepared config of its search."""
    data = tmp_path / 'data'
    data.mkdir()
    for name, split in dict(train=coco(1, 2), val=coco(3), trainval=coco(1, 2, 3), test=coco(4)).items():
        (data / f'{name}.json').write_text(json.dumps(split))
    (tmp_path / 'history.sqlite').touch()
    config = Config(dict(
        model=dict(type='Detector'), train_cfg=dict(max_epochs=4), search=dict(objective='coco/bbox_mAP'),
        train_dataloader=loader(data / 'train.json'), val_dataloader=loader(data / 'val.json'),
        test_dataloader=loader(data / 'test.json'), val_evaluator=dict(type='RawCocoMetric'),
        test_evaluator=dict(type='RawCocoMetric'), val_cfg=dict(), test_cfg=dict()))
    return SimpleNamespace(folder=WorkDir(tmp_path), config=config, data=data)


class Planted(Confirmation):
    """Plants figures instead of training; remembers what it was asked for."""

    def __init__(self, *args, metric='coco/bbox_mAP', fail_at=None):
        super().__init__(*args)
        self.trained, self.metric, self.fail_at = [], metric, fail_at

    def _train(self, name, seed, folder):
        if (name, seed) == self.fail_at:
            raise SearchError('stopped')
        self.trained.append((name, seed))
        figure = 0.1 * (seed + 1) + (0.05 * (seed + 2) if name == 'trial-000003' else 0.0)
        (folder / RESULT).write_text(json.dumps(dict(metrics={self.metric: figure})))


CANDIDATES = [Candidate('detector', '', ConfigDict(type='Detector')),
              Candidate('trial-000003', 'abc', ConfigDict(type='Found'))]


def test_all_candidates_run_with_one_seed_before_the_next(searched):
    confirmation = Planted(searched.folder, searched.config)
    rows = confirmation.run(CANDIDATES, range(2))
    assert confirmation.trained == [('detector', 0), ('trial-000003', 0), ('detector', 1), ('trial-000003', 1)]
    assert [row['seed'] for row in rows] == [0, 0, 1, 1] and len(read_rows(confirmation.folder / 'results.csv')) == 4


def test_a_finished_run_is_not_made_again(searched):
    with pytest.raises(SearchError, match='stopped'):
        Planted(searched.folder, searched.config, fail_at=('trial-000003', 1)).run(CANDIDATES, range(2))
    again = Planted(searched.folder, searched.config)
    again.run(CANDIDATES, range(2))
    assert again.trained == [('trial-000003', 1)]
    more = Planted(searched.folder, searched.config)
    assert len(more.run(CANDIDATES, range(3))) == 6 and more.trained == [('detector', 2), ('trial-000003', 2)]


def test_a_run_killed_before_its_row_was_written_is_not_measured_again(searched):
    confirmation = Planted(searched.folder, searched.config)
    confirmation.run(CANDIDATES, range(1))
    (confirmation.folder / 'results.csv').unlink()
    again = Planted(searched.folder, searched.config)
    assert len(again.run(CANDIDATES, range(1))) == 2 and again.trained == []


def test_another_network_in_the_same_folder_is_refused(searched):
    confirmation = Planted(searched.folder, searched.config)
    confirmation.run(CANDIDATES, range(1))
    other = Candidate('trial-000003', 'def', ConfigDict(type='Other'))
    with pytest.raises(SearchError, match='another network or schedule'):
        confirmation.run([other], range(1))


def test_a_second_way_of_training_is_refused(searched):
    Planted(searched.folder, searched.config, 6)
    with pytest.raises(SearchError, match='made with epochs 6, this is 4'):
        Planted(searched.folder, searched.config)
    (searched.data / 'test.json').write_text(json.dumps(coco(5)))
    with pytest.raises(SearchError, match='made with test'):
        Planted(searched.folder, searched.config, 6)


def test_a_test_split_that_the_search_has_seen_is_refused(searched):
    (searched.data / 'test.json').write_text(json.dumps(coco(3, 4)))
    with pytest.raises(SearchError, match='1 image ids are in both, such as 3'):
        Planted(searched.folder, searched.config)
    renamed = coco(4)
    renamed['images'][0]['file_name'] = '2.png'
    (searched.data / 'test.json').write_text(json.dumps(renamed))
    with pytest.raises(SearchError, match='1 file names are in both'):
        refuse_seen(searched.config, searched.data / 'trainval.json')


def test_independent_folders_may_name_their_pictures_alike(searched):
    config = searched.config
    same_name = coco(4)
    same_name['images'][0]['file_name'] = '2.png'
    (searched.data / 'test.json').write_text(json.dumps(same_name))
    config.search.data = dict(independent_ids=True)
    with pytest.raises(SearchError, match='file names are in both'):
        refuse_seen(config, searched.data / 'trainval.json')
    config.test_dataloader = loader(searched.data / 'test.json', 'other_images')
    refuse_seen(config, searched.data / 'trainval.json')


def test_a_run_trains_on_all_that_the_search_saw_and_on_nothing_else(searched):
    before = searched.config.pretty_text
    plain = run_config(searched.config, ConfigDict(type='Found'), searched.data / 'trainval.json')
    assert plain.train_dataloader.dataset.dataset.ann_file == str(searched.data / 'trainval.json')
    assert plain.test_dataloader.dataset.dataset.ann_file == str(searched.data / 'test.json')
    assert plain.model == dict(type='Found') and 'search' not in plain
    assert plain.val_dataloader is plain.val_evaluator is plain.val_cfg is None
    assert searched.config.pretty_text == before


def test_a_metric_that_the_test_lacks_is_named(searched):
    with pytest.raises(SearchError, match='gives no coco/bbox_mAP, only accuracy'):
        Planted(searched.folder, searched.config, metric='accuracy').run(CANDIDATES, range(1))


def test_a_search_without_a_network_is_refused(searched):
    with pytest.raises(SearchError, match='no network to train'):
        Confirmation(searched.folder, Config(dict(search=dict())))


def test_the_summary_speaks_of_the_best_by_reward(searched):
    rows = Planted(searched.folder, searched.config).run(CANDIDATES, range(3))
    text = summary(rows, CANDIDATES, 4)
    expected = stats.ttest_rel([0.2, 0.35, 0.5], [0.1, 0.2, 0.3]).pvalue
    assert f'p = {expected:.3g}' in text and 'trained from scratch for 4 epochs' in text
    assert 'trial-000003, the best of the search by its reward, has a mean coco/bbox_mAP of 0.3500' in text


# ---- for real


@pytest.fixture
def digits(tmp_path, repo_root):
    """A prepared search on a handful of built-in pictures, with one finished trial."""
    from nasdet.datasets import prepare
    from nasdet.registry import SPACES, build
    config = Config.fromfile(str(repo_root / 'configs/nas_fpn/retinanet_r18_digits_supernet_ppo.py'))
    config.search.data = dict(type='digits', train=16, val=8, test=8, size=64)
    config.search.costs = []
    prepared = prepare(config, tmp_path)
    (tmp_path / 'config.py').write_text(prepared.pretty_text)
    space = build(SPACES, prepared.search.space)
    genotype = zoo.load('nas_fpn')
    history = History(tmp_path / 'history.sqlite')
    history.asked(Trial(0, space.key(genotype), Proposal(genotype, space.encode(genotype)), 0))
    history.told(0, Result('ok', 0.5))
    history.close()
    return tmp_path


@pytest.mark.slow
def test_real_trainings_end_in_a_table(digits, capsys):
    args = SimpleNamespace(work_dir=str(digits), top_k=3, seeds=1, epochs=1, baselines=['fpn'])
    assert main(args) == 0
    rows = read_rows(digits / 'confirm' / 'results.csv')
    assert [row['architecture'] for row in rows] == ['detector', 'fpn', 'trial-000000']
    assert all(0.0 <= float(row['figure']) <= 1.0 for row in rows)
    for row in rows:
        folder = digits / 'confirm' / row['architecture'] / 'seed-0'
        assert (folder / 'weights.pth').exists() and not list(folder.glob('epoch_*'))
    assert 'no evidence either way' in capsys.readouterr().out
    assert 'Confirmation on the test split' in (digits / 'report.html').read_text()


@pytest.mark.slow
def test_a_training_that_breaks_is_told_with_its_end(digits):
    config = Config.fromfile(str(digits / 'config.py'))
    config.optim_wrapper.optimizer.lr = 1e30
    (digits / 'config.py').write_text(config.pretty_text)
    args = SimpleNamespace(work_dir=str(digits), top_k=1, seeds=1, epochs=2, baselines=None)
    words = r'detector, seed 0: the training ended with status 1(.|\n)*the loss is not finite'
    with pytest.raises(SearchError, match=words):
        main(args)
    assert read_rows(digits / 'confirm' / 'results.csv') == []
