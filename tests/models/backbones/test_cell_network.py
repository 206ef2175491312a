"""Networks of cells as classifiers and as backbones."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from torch import nn

from nasdet import zoo
from nasdet.convert import backbone_to_detector
from nasdet.models.backbones import CellNetwork
from nasdet.models.meta import build_on_meta, output_shapes

NASNET = dict(type='CellNetwork', genotype='nasnet_a_4_1056', num_cells=(4, 4, 4), width=44, stem='nasnet_imagenet')
DARTS = dict(type='CellNetwork', genotype='darts_v2_cifar', num_cells=(4, 4, 4), width=48, stem='darts_imagenet')
SMALL = dict(type='CellNetwork', genotype='nasnet_a_4_1056', num_cells=(2, 1, 1), width=8, stem='nasnet_imagenet',
             stem_channels=6)
MAPS = (0, 1, 2, 3)


def build(**options):
    torch.manual_seed(0)
    cfg = {**SMALL, **options}
    return CellNetwork(**{key: value for key, value in cfg.items() if key != 'type'})


@pytest.mark.parametrize('cfg, channels', [
    (NASNET, (44, 264, 528, 1056)),
    ({**NASNET, 'genotype': 'pnasnet_5_mobile', 'num_cells': (3, 2, 2), 'width': 54}, (65, 270, 540, 1080)),
    (DARTS, (48, 192, 384, 768)),
    ({**DARTS, 'genotype': 'enas_micro_cifar'}, (48, 240, 480, 960))])
def test_maps_at_the_published_image_size_and_in_detection(cfg, channels):
    backbone = {**cfg, 'out_indices': MAPS}
    assert output_shapes(backbone, (3, 224, 224)) == [
        (width, size, size) for width, size in zip(channels, (56, 28, 14, 7), strict=True)]
    assert output_shapes(backbone, (3, 800, 1344)) == [
        (width, 800 // stride, 1344 // stride) for width, stride in zip(channels, (4, 8, 16, 32), strict=True)]
    network = build_on_meta(backbone)
    assert network.out_channels == channels and network.strides == (4, 8, 16, 32)


@pytest.mark.parametrize('name', ['nasnet_a_4_1056', 'pnasnet_5_mobile', 'amoebanet_c_mobile', 'amoebanet_d',
                                  'enas_micro_cifar', 'darts_v1_cifar'])
@pytest.mark.parametrize('stem', ['cifar', 'nasnet_imagenet', 'darts_imagenet'])
def test_any_genotype_on_any_stem_with_odd_widths_and_sizes(name, stem):
    backbone = dict(type='CellNetwork', genotype=name, num_cells=(1, 1, 0), width=9, stem=stem, out_indices=MAPS,
                    padding='same')
    shapes = output_shapes(backbone, (3, 97, 131))
    network = build_on_meta(backbone)
    assert tuple(shape[0] for shape in shapes) == network.out_channels
    finest = {'cifar': (97, 131), 'nasnet_imagenet': (24, 33), 'darts_imagenet': (25, 33)}[stem]
    first = 0 if stem == 'cifar' else 1     # the stem of CIFAR and the first stage have one resolution
    for index, shape in enumerate(shapes):
        halved = max(index - 1 + first, 0)
        assert shape[1:] == tuple(-(-size // 2 ** halved) for size in finest)


def test_a_detector_with_an_fpn_on_an_odd_image():
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']", '.py').model
    backbone = {**SMALL, 'genotype': 'darts_v2_cifar', 'out_indices': MAPS, 'norm_eval': True, 'frozen_stages': 0}
    model.backbone = backbone
    model.neck.update(in_channels=list(build_on_meta(backbone).out_channels), out_channels=8)
    model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1)
    detector = MODELS.build(model)
    detector.train()
    pyramid = detector.extract_feat(torch.randn(1, 3, 75, 91))
    sum(level.sum() for level in pyramid).backward()
    idle = [name for name, parameter in detector.backbone.named_parameters()
            if parameter.requires_grad and parameter.grad is None]
    assert not idle
    assert [tuple(level.shape[1:]) for level in pyramid[:3]] == [(8, 10, 12), (8, 5, 6), (8, 3, 3)]


def test_a_backbone_gives_the_maps_asked_for_and_builds_nothing_after_them():
    images = torch.randn(2, 3, 40, 40)
    whole, part = build(out_indices=MAPS).eval(), build(out_indices=(2, 0)).eval()
    missing, unexpected = part.load_state_dict(whole.state_dict(), strict=False)
    assert not missing and unexpected
    maps = whole(images)
    assert all(torch.equal(one, maps[index]) for one, index in zip(part(images), (2, 0), strict=True))
    assert all((feature >= 0).all() for feature in maps)
    assert (build(out_indices=(1,), final_relu=False).eval()(images)[0] < 0).any()


def test_a_classifier_is_its_last_map_pooled():
    classifier, backbone = build(num_classes=5).eval(), build(out_indices=(3,)).eval()
    backbone.load_state_dict(classifier.state_dict(), strict=False)
    images = torch.randn(2, 3, 40, 40)
    torch.testing.assert_close(classifier(images), classifier.fc(backbone(images)[0].mean(dim=(2, 3))))


def test_the_cell_after_a_reduction_may_skip_the_reductions_input():
    """The first cell of stage 2 reads what the one before last of stage 1 made, in place of the last."""
    def read_by(network):
        outputs, read = [], {}
        for index, cell in enumerate(network.cells):
            cell.register_forward_hook(lambda module, inputs, output: outputs.append(output))
            cell.register_forward_pre_hook(lambda module, inputs, i=index: read.update({i: (inputs, list(outputs))}))
        network.eval()(torch.randn(1, 3, 40, 40))
        return {index: [next((made for made, output in enumerate(done) if output is x), None) for x in inputs]
                for index, (inputs, done) in read.items()}

    # stem 0 1, stage 1: 2 3, reduction 4, stage 2: 5, reduction 6, stage 3: 7
    plain = {index: [index - 2, index - 1] for index in range(2, 8)}
    assert {index: places for index, places in read_by(build()).items() if index > 1} == plain
    assert {index: places for index, places in read_by(build(skip_reduction_input=True)).items() if index > 1} == {
        **plain, 5: [2, 4], 7: [4, 6]}


def test_a_detector_takes_the_whole_backbone_from_a_classifiers_checkpoint(tmp_path):
    cfg = dict(type='ImageClassifier', data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3),
               backbone={**SMALL, 'num_classes': 5, 'auxiliary': True})
    torch.manual_seed(0)
    classifier = MODELS.build(cfg)
    save_checkpoint(dict(state_dict=classifier.state_dict()), str(tmp_path / 'classifier.pth'))
    model = Config.fromstring("_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py']", '.py').model
    model = backbone_to_detector(cfg, tmp_path / 'classifier.pth', model, norm_eval=True)
    assert model.neck.in_channels == [8, 48, 96, 192]
    detector = MODELS.build(model)
    detector.init_weights()
    weights, taken = classifier.backbone.state_dict(), detector.backbone.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in taken.items())
    assert {name.partition('.')[0] for name in weights.keys() - taken.keys()} == {'fc', 'auxiliary_head'}


@pytest.mark.parametrize('stages', [0, 2])
def test_frozen_stages(stages):
    network = build(out_indices=MAPS, frozen_stages=stages)
    network.train()
    images, before = torch.randn(2, 3, 40, 40), {name: value.clone() for name, value in network.state_dict().items()}
    sum(feature.sum() for feature in network(images)).backward()
    frozen = {'stem.'} | {f'cells.{index}.' for index, slot in enumerate(network.stack) if slot.stage <= stages}
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(tuple(frozen)), name
    statistics = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert statistics and not any(name.startswith(tuple(frozen)) for name in statistics)


def test_norm_eval_keeps_all_statistics():
    network = build(out_indices=MAPS, norm_eval=True)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.randn(2, 3, 40, 40))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize('by_depth', [True, False])
def test_drop_path_grows_with_the_training_and_with_the_depth(by_depth):
    """A path is kept with 1 - progress * (cell + 1) / cells * (1 - final), as in the NASNet authors' code."""
    network = build(drop_path=0.4, drop_path_by_depth=by_depth)
    assert network.cells[-1].drop_prob == pytest.approx(0.4)
    network.set_drop_path_progress(0.25)
    depths = [(index + 1) / 8 if by_depth else 1.0 for index in range(8)]
    assert [cell.drop_prob for cell in network.cells] == pytest.approx([0.1 * depth for depth in depths])
    part = build(drop_path=0.4, drop_path_by_depth=by_depth, out_indices=(1,))
    assert part.cells[-1].drop_prob == pytest.approx(0.4 * (0.5 if by_depth else 1.0))


def test_the_auxiliary_head_reads_its_cell_in_training_only():
    network = build(auxiliary=True, auxiliary_head=dict(kernel=2), num_classes=5)
    seen = {}
    network.cells[5].register_forward_hook(lambda module, inputs, output: seen.update(cell=output))
    network.auxiliary_head.register_forward_pre_hook(lambda module, inputs: seen.update(head=inputs[0]))
    images = torch.randn(2, 3, 128, 128)
    logits, auxiliary = network(images)
    assert logits.shape == auxiliary.shape == (2, 5) and seen['cell'] is seen['head']
    assert network.eval()(images).shape == (2, 5)
    with pytest.raises(ValueError, match='reads maps of 8 x 8 or more, not'):
        network.train()(torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize('options, message', [
    (dict(num_cells=4), 'num_cells says how many normal cells'),
    (dict(num_cells=(0, 1)), 'num_cells says how many normal cells each stage has'),
    (dict(width=7), "width is a whole number, at least 8 with the stem 'nasnet_imagenet', not 7"),
    (dict(stem='imagenet'), "stem is one of .*, not 'imagenet'"),
    (dict(out_indices=(1, 4)), r'out_indices are different maps among 0 to 3, at least one, not \[1, 4\]'),
    (dict(out_indices=()), 'out_indices are different maps'),
    (dict(skip_reduction_input=True, num_cells=(2, 0, 1)), 'needs a normal cell after every reduction'),
    (dict(frozen_stages=4), 'frozen_stages=4, but this network has 3 stages'),
    (dict(drop_path=1.0), 'drop_path is a probability below 1, not 1.0'),
    (dict(auxiliary=True, auxiliary_head=dict(cell=8)), "auxiliary_head's cell is one of 0 to 7, not 8"),
    (dict(auxiliary=True, out_indices=(1,)), 'only a classifier has an auxiliary head'),
    (dict(genotype='nasnet'), "the zoo has no 'nasnet'")])
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_normalisation_of_another_kind():
    network = build(norm_cfg=dict(type='GN', num_groups=1), out_indices=MAPS)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert len(network(torch.randn(1, 3, 40, 40))) == 4


def test_zoo_builds_a_classifier_with_other_classes():
    network = zoo.build('darts_v2_cifar', num_classes=7, width=4, num_cells=(1, 1, 1))
    assert network.eval()(torch.randn(1, 3, 16, 16)).shape == (1, 7)
