"""The elastic space of a detector with resolutions: what it makes of a config, children as slices, costs."""

import copy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.registry import init_default_scope

from nasdet.costs import Macs
from nasdet.spaces import ElasticSpace, ProductSpace
from nasdet.testing import check_space
from nasdet.training import extracted_state, recalibrated, set_path
from tests.models.backbones.mbconv_helpers import mbconv_choices
from tests.training.detectors import elastic_space, small_retinanet

SPACE = elastic_space(resolution=[48, 64])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_conforms():
    model = small_retinanet()
    check_space(SPACE, rng(), model, samples=2)
    assert SPACE.size() == 2 * elastic_space().size()
    before = copy.deepcopy(model)
    genotype = SPACE.sample(rng())
    applied = SPACE.apply(genotype, model)
    assert applied.data_preprocessor == {
        **before.data_preprocessor, 'type': 'ResizingDetDataPreprocessor', 'side': genotype.value['resolution']}
    assert model == before
    assert len({genotype.value['resolution'] for genotype in SPACE.coarse_grid()}) == 2


def test_a_child_is_a_slice_of_the_supernet_with_images_of_its_size():
    """Boxes and scores of a child and of its own plain config differ by 0.0."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = small_retinanet()
    model.test_cfg.update(score_thr=0.0)
    shared = MODELS.build(SPACE.supernet(model))
    shared.init_weights()
    data = demo_mm_inputs(2, [(3, 64, 64), (3, 56, 64)], num_classes=3)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    found = {}
    for side in (48, 64):
        child = SPACE.at_one_size(dict(one=SPACE.sample(rng(1))), FixedRng(side))['one']
        set_path(shared, SPACE, child)
        alone = MODELS.build(SPACE.apply(child, model)).eval()
        images = shared.data_preprocessor(copy.deepcopy(data))['inputs']
        assert images.shape[2:] == (side, side)
        with torch.no_grad(), recalibrated(shared, [images], shared):
            alone.load_state_dict(extracted_state(shared, SPACE, child))
            ours, theirs = (network.test_step(copy.deepcopy(data)) for network in (shared, alone))
        for a, b in zip(ours, theirs, strict=True):
            assert len(a.pred_instances) > 0
            assert torch.equal(a.pred_instances.bboxes, b.pred_instances.bboxes)
            assert torch.equal(a.pred_instances.scores, b.pred_instances.scores)
        found[side] = ours[0].pred_instances.scores
    assert not torch.equal(found[48], found[64])


class FixedRng:
    """Draws what a test wants."""

    def __init__(self, value):
        self.value = value

    def choice(self, values):
        assert self.value in values
        return self.value


def test_a_cost_counts_at_the_size_of_the_child():
    model, plain = small_retinanet(), elastic_space()
    for side in (48, 64):
        child = SPACE.at_one_size(dict(one=SPACE.smallest()), FixedRng(side))['one']
        for scope in ('backbone', 'neck', 'model'):
            counted = Macs(SPACE, model, scope=scope, input_shape=(3, 96, 128))(child)
            shape = (3, side * 3 // 4, side)
            assert counted == Macs(plain, model, scope=scope, input_shape=shape)(plain.smallest())


def test_children_of_a_step_keep_all_but_their_resolution():
    children = dict(largest=SPACE.largest(), smallest=SPACE.smallest())
    shared = SPACE.at_one_size(children, rng())
    assert len({child.value['resolution'] for child in shared.values()}) == 1
    for name, child in shared.items():
        assert {**child.plain(), 'resolution': 0} == {**children[name].plain(), 'resolution': 0}
    for other in (elastic_space(), ElasticSpace('bignas', backbone=dict(head=True))):
        children = dict(largest=other.largest(), smallest=other.smallest())
        assert other.at_one_size(children, rng()) == children       # a classifier's are each at their own


def test_refuses_what_cannot_resize():
    model = small_retinanet()
    model.data_preprocessor.type = 'BatchFixedSizePad'
    with pytest.raises(ValueError, match='data_preprocessor is BatchFixedSizePad: change it, or leave resolution out'):
        SPACE.apply(SPACE.smallest(), model)
    choices = mbconv_choices('efficientnet', [48, 64])
    for stage in choices['stages']:
        stage['channels'] = stage['channels'][:1]
    neck = dict(type='MergingCellSpace', num_cells=6, levels=(2, 3, 4), neck=dict(out_channels=8))
    both = ProductSpace(dict(backbone=ElasticSpace(**choices), neck=neck))
    with pytest.raises(ValueError, match='data_preprocessor is ResizingDetDataPreprocessor'):
        both.supernet(small_retinanet())
