"""A confirmation: what it trains and measures, what it refuses, what it says, and that nothing is measured twice."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config, ConfigDict
from scipy import stats

from nasdet.confirm import Confirmation, read_rows, run_config, summary
from nasdet.confirm.finalists import Candidate
from nasdet.confirm.run import RESULT
from nasdet.datasets.detection_task import refuse_seen
from nasdet.errors import SearchError
from nasdet.history.workdir import WorkDir


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


def test_a_kill_while_a_config_is_written_leaves_none(searched, monkeypatch):
    def half_of(write):
        def killed(path, content):
            write(path, content[:len(content) // 2])
            raise KeyboardInterrupt
        return killed

    confirmation = Planted(searched.folder, searched.config)
    with monkeypatch.context() as patch:
        for name in ('write_text', 'write_bytes'):
            patch.setattr(Path, name, half_of(getattr(Path, name)))
        with pytest.raises(KeyboardInterrupt):
            confirmation.run(CANDIDATES, range(1))
    assert len(confirmation.run(CANDIDATES, range(1))) == 2


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
        refuse_seen(searched.config)


def test_independent_folders_may_name_their_pictures_alike(searched):
    config = searched.config
    same_name = coco(4)
    same_name['images'][0]['file_name'] = '2.png'
    (searched.data / 'test.json').write_text(json.dumps(same_name))
    config.search.data = dict(independent_ids=True)
    with pytest.raises(SearchError, match='file names are in both'):
        refuse_seen(config)
    config.test_dataloader = loader(searched.data / 'test.json', 'other_images')
    refuse_seen(config)


def test_a_run_trains_on_all_that_the_search_saw_and_on_nothing_else(searched):
    before = searched.config.pretty_text
    plain = run_config(searched.config, ConfigDict(type='Found'))
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
