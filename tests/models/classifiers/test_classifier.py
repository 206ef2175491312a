import math

import pytest
import torch
from mmdet.registry import MODELS

import nasdet.models.classifiers  # noqa: F401 - registers

BACKBONE = dict(type='ResNet', depth=18, base_channels=4, norm_eval=False)


def classifier(**kwargs):
    torch.manual_seed(0)
    cfg = dict(type='ImageClassifier', backbone=BACKBONE, num_classes=5, in_channels=32,
               data_preprocessor=dict(mean=[10.0, 20.0, 30.0], std=[2.0, 4.0, 5.0]))
    model = MODELS.build({**cfg, **kwargs})
    model.init_weights()
    return model


def test_the_loss_is_the_smoothed_cross_entropy():
    smoothing = 0.1
    model = classifier(label_smoothing=smoothing).eval()
    images, labels = torch.randn(3, 3, 32, 32), torch.tensor([0, 4, 2])
    log_p = model(images).log_softmax(dim=1).tolist()
    expected = [-(1 - smoothing) * row[label] - smoothing / 5 * math.fsum(row)
                for row, label in zip(log_p, labels, strict=True)]
    loss = model(images, labels, mode='loss')['loss']
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_uniform_logits_cost_log_k_whatever_the_smoothing():
    for smoothing in (0.0, 0.3):
        model = classifier(label_smoothing=smoothing)
        torch.nn.init.zeros_(model.fc.weight)
        loss = model(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]), mode='loss')['loss']
        assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_the_loss_is_never_computed_in_less_than_float32_and_in_float64_where_the_network_is():
    model, images, labels = classifier(), torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    with torch.autocast('cpu', torch.bfloat16):
        assert model(images, labels, mode='loss')['loss'].dtype == torch.float32
        assert model.eval()(images, mode='predict')[0].score.dtype == torch.float32
    model.double()
    assert model(images.double(), labels, mode='loss')['loss'].dtype == torch.float64


def test_predictions_are_probabilities_and_the_likeliest_class():
    model = classifier().eval()
    images = torch.randn(3, 3, 32, 32)
    logits = model(images)
    predictions = model(images, mode='predict')
    assert len(predictions) == 3
    for row, prediction in zip(logits, predictions, strict=True):
        assert torch.allclose(prediction.score, row.exp() / row.exp().sum())
        assert prediction.label.tolist() == [int(row.argmax())]


def test_a_step_normalises_the_uint8_batch():
    model = classifier().eval()
    batch = dict(inputs=torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), data_samples=torch.tensor([1, 2]))
    by_hand = (batch['inputs'].float() - torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1)) \
        / torch.tensor([2.0, 4.0, 5.0]).view(3, 1, 1)
    prediction = model.val_step(batch)[1]
    assert torch.allclose(prediction.score, model(by_hand).softmax(dim=1)[1])


def test_dropout_acts_in_training_only():
    model = classifier(dropout=0.5)
    model.backbone.eval()
    images = torch.randn(1, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_initialisation_leaves_the_backbone_its_own():
    model = classifier()
    assert model.fc.weight.std().item() == pytest.approx(0.01, rel=0.3)
    assert model.fc.bias.abs().max().item() == 0
    fan_out = 32 * 3 * 3
    assert model.backbone.layer4[0].conv1.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


def test_the_state_dict_has_the_backbone_under_its_prefix():
    keys = classifier().state_dict().keys()
    assert {key for key in keys if not key.startswith('backbone.')} == {'fc.weight', 'fc.bias'}


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'loss' or 'predict', not 'train'"):
        classifier()(torch.randn(1, 3, 32, 32), mode='train')
