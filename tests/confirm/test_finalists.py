"""What a confirmation compares, and what it refuses to."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict

from nasdet import zoo
from nasdet.confirm.finalists import choose, published
from nasdet.errors import SearchError
from nasdet.genotype import Genotype
from nasdet.history import History, Trial
from nasdet.history.record import read_record
from nasdet.protocol import Proposal, Result
from nasdet.spaces import ChoiceBlockSpace, NASNetSpace
from tests.toys import ToySpace


class NeckSpace(ToySpace):
    """A toy space whose genotypes go into a neck."""

    def apply(self, genotype, model):
        return ConfigDict({**model, 'neck': dict(type='Neck', genotype=genotype.plain())})


def config_of(model) -> Config:
    return Config(dict(model=model, train_dataloader=dict(dataset=dict(type='CocoDataset'))))


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
    config = config_of(dict(type='Detector', neck=dict(type='FPN')))
    chosen = choose(config, NeckSpace(), record, 2)
    assert [candidate.name for candidate in chosen] == ['detector', 'trial-000001', 'trial-000003']
    assert chosen[0].model == config.model and chosen[0].model.neck.type == 'FPN'
    assert chosen[1].model.neck.genotype['layers'][3]['width'] == 16


def test_a_confirmation_of_nothing_is_refused(tmp_path):
    record = remember(tmp_path, [(8, None)])
    config = config_of(dict(type='Detector'))
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


def test_a_published_backbone_of_other_widths_is_fitted_to_the_neck():
    space = ChoiceBlockSpace(preset='300m')
    model = ConfigDict(type='Detector', backbone=dict(type='ResNet'), neck=dict(type='FPN', in_channels=[1, 2, 3, 4]))
    wide = published(space, zoo.load('detnas_coco_fpn_1.3g'), space.sample(np.random.default_rng(0)), model)
    assert wide.neck.in_channels == [96, 240, 480, 960]
    assert wide.backbone.genotype == zoo.load('detnas_coco_fpn_1.3g').plain()


def test_a_baseline_that_is_unknown_or_of_another_space_is_refused(tmp_path):
    record = remember(tmp_path, [(8, 0.1)])
    config = config_of(dict(type='Detector'))
    with pytest.raises(SearchError, match="did you mean 'no_fusion'"):
        choose(config, NeckSpace(), record, 1, ['no_fusoin'])
    with pytest.raises(SearchError, match='of MergingCellSpace does not fit a search of NeckSpace'):
        choose(config, NeckSpace(), record, 1, ['fpn'])


def test_a_published_network_with_a_head_of_its_own_takes_the_place_of_a_member():
    skeleton = dict(type='CellNetwork', genotype='nasnet_a_4_1056', num_cells=(1, 1, 1), width=8, num_classes=5)
    model = ConfigDict(type='ImageClassifier', backbone=skeleton)
    space, genotype = NASNetSpace(), zoo.load('nasnet_a_4_1056')
    found = published(space, genotype, space.sample(np.random.default_rng(0)), model)
    assert found == {**model, 'backbone': dict(skeleton, genotype=genotype.plain())}
